"""Tables of dataclasses: written whole, read back to the last bit, refused with row and column."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenter import typed_tables
from tenter.errors import DataError


@dataclass(frozen=True)
class Span:
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Line:
    name: str
    set: Literal["cv", "test"] = "cv"
    count: int = 0
    worse: int | None = None
    share: float = 0.5
    before: Span = Span()


HEADER = "name\tset\tcount\tworse\tshare\tbefore_low\tbefore_high\n"


def test_a_nested_record_has_a_column_for_each_of_its_fields() -> None:
    assert "\t".join(typed_tables.columns(Line)) + "\n" == HEADER


def test_a_table_without_rows_is_its_header(tmp_path: Path) -> None:
    typed_tables.write(tmp_path / "t.tsv", Line, [])
    assert (tmp_path / "t.tsv").read_text(encoding="utf-8") == HEADER


def test_what_is_unknown_is_an_empty_cell(tmp_path: Path) -> None:
    typed_tables.write(tmp_path / "t.tsv", Line, [Line(name="a", before=Span(math.nan, math.inf))])
    assert (tmp_path / "t.tsv").read_text(encoding="utf-8") == f"{HEADER}a\tcv\t0\t\t0.5\t\tinf\n"


def test_numbers_of_numpy_are_written_as_numbers(tmp_path: Path) -> None:
    typed_tables.write_lines(
        tmp_path / "t.csv", "ab", [[np.float64(0.1), np.int64(3)]], delimiter=","
    )
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == "a,b\n0.1,3\n"


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=9)
numbers = st.none() | st.floats(allow_nan=False)
lines = st.builds(
    Line,
    name=texts,
    set=st.sampled_from(("cv", "test")),
    count=st.integers(0, 10**12),
    worse=st.none() | st.integers(0, 9),
    share=st.floats(allow_nan=False),
    before=st.builds(Span, numbers, numbers),
)


@given(rows=st.lists(lines, max_size=4))
@settings(max_examples=40, deadline=None)
def test_every_record_is_read_as_it_was_written(
    rows: list[Line], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("t") / "t.tsv"
    typed_tables.write(path, Line, rows)
    assert typed_tables.read(path, Line) == tuple(rows)


@pytest.mark.parametrize(
    ("row", "column", "message"),
    [
        ("a\ttrain\t1\t\t1\t\t", "set", "is 'train', not one of cv, test"),
        ("a\tcv\t1.5\t\t1\t\t", "count", "is '1.5', not a whole number"),
        ("a\tcv\t\t\t1\t\t", "count", "is '', not a whole number"),
        ("a\tcv\t1\t-2\t1\t\t", "worse", "is '-2', not a whole number"),
        ("a\tcv\t1\t\tmany\t\t", "share", "is 'many', not a number"),
        ("a\tcv\t1\t\t\t\t", "share", "is '', not a number"),
        ("a\tcv\t1\t\t1\t\t0,5", "before_high", "is '0,5', not a number"),
    ],
)
def test_a_damaged_cell_is_refused_with_row_and_column(
    row: str, column: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "t.tsv").write_text(f"{HEADER}b\tcv\t1\t\t1\t\t\n{row}\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        typed_tables.read(tmp_path / "t.tsv", Line)
    (fault,) = caught.value.faults
    assert (fault.row, fault.column, fault.message) == (3, column, message)
