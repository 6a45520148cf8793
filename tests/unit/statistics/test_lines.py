from __future__ import annotations

from pathlib import Path

import pytest

from builders import finished_study
from tenter import typed_tables
from tenter.errors import DataError
from tenter.statistics.lines import ComparisonLine, SummaryLine, pick


def test_the_summary_is_read_as_it_is_written(tmp_path: Path) -> None:
    root = finished_study.write_study(tmp_path, finished_study.rows())
    line = pick(
        typed_tables.read(root / "summary.tsv", SummaryLine), role="structure", metric="dice"
    )
    assert line is not None
    assert (line.n, line.pairs, line.patients, line.vanished) == (12, 12, 9, 0)
    assert line.after.q1 is not None
    assert line.after.median is not None
    assert line.after.q1 < line.after.median


def test_infinite_quartiles_stay_infinite(tmp_path: Path) -> None:
    lost = [
        finished_study.row(
            ("local", "0", "cv", f"pair{k}", f"p{k}"), ("cyst", "landmark", "tre", "mm"), 9.0, after
        )
        for k, after in enumerate((1.0, float("inf"), float("inf")))
    ]
    root = finished_study.write_study(tmp_path, lost)
    line = pick(typed_tables.read(root / "summary.tsv", SummaryLine), metric="tre")
    assert line is not None
    assert line.after.median == float("inf")


def test_the_comparison_is_read_as_it_is_written(tmp_path: Path) -> None:
    models = ("local", "unet")
    root = finished_study.write_study(tmp_path, finished_study.rows(models=models), models=models)
    found = typed_tables.read(root / "comparison.tsv", ComparisonLine)
    assert {(item.model, item.reference) for item in found} == {("unet", "local")}
    assert all(item.units == 9 for item in found)


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "summary.tsv"
    path.write_text("model\tset\nlocal\tcv\n")
    with pytest.raises(
        DataError, match=r"summary.tsv: lacks the columns .*delete it and run the workflow again"
    ):
        typed_tables.read(path, SummaryLine)
