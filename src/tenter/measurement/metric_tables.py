"""Tables of metrics in long form: tab-separated, one value per line."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import get_args

from tenter import files
from tenter.errors import DataError
from tenter.records import Fault, MetricRow, Set

COLUMNS = tuple(field.name for field in fields(MetricRow))
NUMBERS = ("before", "after")

ENSEMBLE = "ensemble"
"""Fold of pairs that the models of all folds registered together."""

VANISHED = "vanished"
"""Note of a value whose label is empty after registration; absent or 0, it counts as the worst."""

EMPTY_BEFORE = "empty before"
"""Note of a value whose label, with the alignment alone, lies outside the grid and is empty."""

ABSENT = "absent in {}"
"""Note of a label that only one side has; it is not measured."""


def write(path: Path, rows: Iterable[MetricRow]) -> None:
    """Write rows in canonical order, atomically; absent values and NaN become empty cells.

    Raises:
        DataError: two rows have the same key.
    """
    ordered = sorted(rows, key=key)
    duplicates = [row_key for row_key, count in Counter(map(key, ordered)).items() if count > 1]
    if duplicates:
        message = f"measured twice: {'; '.join(' '.join(row_key) for row_key in duplicates[:5])}"
        fix = "name each label and landmark once"
        raise DataError(Fault(str(path), message, fix))
    table(path, COLUMNS, ([getattr(row, name) for name in COLUMNS] for row in ordered))


def table(path: Path, columns: Iterable[str], lines: Iterable[Iterable[object]]) -> None:
    """Write a table of texts and numbers atomically; None and NaN become empty cells."""
    with (
        files.written_whole(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_text(value) for value in line] for line in lines)


def read(path: Path) -> tuple[MetricRow, ...]:
    """Read a table of metrics.

    Raises:
        DataError: it cannot be read or is damaged.
    """
    return tuple(_row(path, number, cells) for number, cells in files.read_table(path, COLUMNS))


def key(row: MetricRow) -> tuple[str, ...]:
    """The unique key of a row, which also sorts the table."""
    return row.model, row.set, row.fold, row.pair, row.role, row.label, row.metric


def counted(row: MetricRow) -> tuple[float | None, float | None]:
    """The row's values before and after for aggregation: +inf if a label vanished.

    Returns:
        None for a value that does not count.
    """
    before = math.inf if row.before is None and EMPTY_BEFORE in row.note else row.before
    after = math.inf if row.after is None and VANISHED in row.note else row.after
    return before, after


def note(*, empty_before: bool, vanished: bool) -> str:
    """The note of a row whose label is empty before or after registration."""
    return "; ".join([*([VANISHED] if vanished else []), *([EMPTY_BEFORE] if empty_before else [])])


def plain(name: str) -> str:
    """A point's name, changed if a spreadsheet would take it for a formula."""
    return f"_{name}" if name[0] in "=+-@" else name


def _row(path: Path, number: int, cells: Mapping[str, str]) -> MetricRow:
    texts = {name: cells[name] for name in COLUMNS if name not in NUMBERS}
    try:
        before, after = (float(text) if (text := cells[name]) else None for name in NUMBERS)
    except ValueError as error:
        raise files.damaged(path, str(error), row=number) from error
    if texts["set"] not in get_args(Set):
        reason = f"is {texts['set']!r}, not one of {', '.join(get_args(Set))}"
        raise files.damaged(path, reason, row=number, column="set")
    return MetricRow(**texts, before=before, after=after)


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)
