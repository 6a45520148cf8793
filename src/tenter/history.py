"""The table `history.csv` of a finished training: the figures of each report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from tenter import files, typed_tables

RETRAIN = "delete it and run the workflow again: its fold is trained again"
"""What to do about a damaged file of a finished training."""

Row = dict[str, float]
"""One report of a training: `step`, and the figures measured at it, by column."""


def write_history(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write rows as CSV, atomically; a cell is empty if the row has no (finite) figure."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = ([_cell(row.get(name)) for name in columns] for row in rows)
    typed_tables.write_lines(path, columns, lines, delimiter=",")


def read_history(path: Path) -> list[Row]:
    """Read what `write_history` wrote; empty cells are left out.

    Raises:
        DataError: the file cannot be read or is damaged.
    """
    rows = files.read_table(path, ("step",), RETRAIN, delimiter=",")
    if not rows:
        raise files.damaged(path, "holds no row", RETRAIN)
    return [_row(path, number, cells) for number, cells in rows]


def _row(path: Path, number: int, cells: Mapping[str, str]) -> Row:
    row: Row = {}
    for name, cell in cells.items():
        try:
            value = float(cell) if cell else None
        except ValueError as error:
            raise files.damaged(
                path, f"is {cell!r}, not a number", RETRAIN, row=number, column=name
            ) from error
        if value is not None:
            row[name] = value
    if not math.isfinite(row.get("step", math.nan)):
        raise files.damaged(path, "is not a number", RETRAIN, row=number, column="step")
    return row


def _cell(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return ""
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(value)
