"""Tables of metrics in long form: tab-separated, one value per line."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tenter import typed_tables
from tenter.errors import DataError
from tenter.records import Fault, MetricRow

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
        raise DataError(Fault(str(path), message, "name each label and landmark once"))
    typed_tables.write(path, MetricRow, ordered)


def read(path: Path) -> tuple[MetricRow, ...]:
    """Read a table of metrics.

    Raises:
        DataError: it cannot be read or is damaged.
    """
    return typed_tables.read(path, MetricRow)


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
