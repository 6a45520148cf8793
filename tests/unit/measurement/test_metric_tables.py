"""Tables of figures: written whole and sorted, read back as they were."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from tenter import typed_tables
from tenter.errors import DataError
from tenter.measurement import metric_tables
from tenter.records import MetricRow

ROW = MetricRow(
    model="local", fold="0", set="cv", pair="p0", patient="a", label="gland", role="structure",
    metric="dice", unit="1", before=1 / 3, after=0.1 + 0.2,
)  # fmt: skip


def test_rows_come_back_to_the_last_digit(tmp_path: Path) -> None:
    metric_tables.write(tmp_path / "t.tsv", [ROW])
    assert metric_tables.read(tmp_path / "t.tsv") == (ROW,)


def test_rows_are_sorted_whatever_their_order(tmp_path: Path) -> None:
    rows = [replace(ROW, pair=name) for name in ("p2", "p0", "p1")]
    metric_tables.write(tmp_path / "t.tsv", rows)
    assert [row.pair for row in metric_tables.read(tmp_path / "t.tsv")] == ["p0", "p1", "p2"]


@pytest.mark.parametrize("value", [None, math.nan])
def test_what_is_absent_stays_empty(value: float | None, tmp_path: Path) -> None:
    metric_tables.write(tmp_path / "t.tsv", [replace(ROW, after=value)])
    assert metric_tables.read(tmp_path / "t.tsv")[0].after is None


def test_a_figure_that_is_measured_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="measured twice"):
        metric_tables.write(tmp_path / "t.tsv", [ROW, replace(ROW, after=0.5)])


@pytest.mark.parametrize(
    "text", ["", "a\tb\n1\t2\n", "\t".join(typed_tables.columns(MetricRow)) + "\nshort\n"]
)
def test_another_table_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"t\.tsv(:2)?: (is empty|lacks the columns|has 1 cells)"):
        metric_tables.read(tmp_path / "t.tsv")


def test_a_figure_that_is_no_number_is_refused_with_its_line(tmp_path: Path) -> None:
    metric_tables.write(tmp_path / "t.tsv", [ROW])
    text = (tmp_path / "t.tsv").read_text(encoding="utf-8").replace("0.30000000000000004", "many")
    (tmp_path / "t.tsv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"t\.tsv:2:after: is 'many', not a number"):
        metric_tables.read(tmp_path / "t.tsv")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (ROW, (1 / 3, 0.1 + 0.2)),
        (replace(ROW, after=None, note="vanished"), (1 / 3, math.inf)),
        (replace(ROW, after=0.0, note="vanished"), (1 / 3, 0.0)),
        (replace(ROW, before=None, note="empty before"), (math.inf, 0.1 + 0.2)),
        (
            replace(ROW, before=None, after=None, note="vanished; empty before"),
            (math.inf, math.inf),
        ),
        (replace(ROW, before=None, after=None, note="absent in moving"), (None, None)),
    ],
)
def test_what_vanished_counts_as_worst(
    row: MetricRow, expected: tuple[float | None, float | None]
) -> None:
    assert metric_tables.counted(row) == expected
