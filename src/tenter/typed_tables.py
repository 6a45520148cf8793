"""Tables whose rows are frozen dataclasses: one writer and one reader for all of them.

A field is a column; a field that is itself a dataclass has one column for each of its fields, named
`<field>_<name>`. Floats are written so that they are read back to the last bit. Nothing here loads
pandas: jobs that write a table start faster without it (decision 16).
"""

from __future__ import annotations

import csv
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from tenter import files

R = TypeVar("R")


def write(path: Path, record: type[R], rows: Iterable[R]) -> None:
    """Write records as a tab-separated table, atomically; None and NaN become empty cells.

    Args:
        path: the table.
        record: class of the rows, whose columns are written even if there is no row.
        rows: instances of it.

    Raises:
        OutputError: it could not be written whole.
    """
    write_lines(path, columns(record), (list(values(row).values()) for row in rows))


def write_lines(
    path: Path,
    names: Sequence[str],
    lines: Iterable[Sequence[object]],
    *,
    delimiter: str = "\t",
) -> None:
    """Write a table whose columns are not those of a record, like `write`.

    Args:
        path: the table.
        names: names of the columns.
        lines: texts and numbers, in this order.
        delimiter: separates cells.

    Raises:
        OutputError: it could not be written whole.
    """
    with (
        files.written_whole(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_text(value) for value in line] for line in lines)


def read(path: Path, record: type[R], remedy: str = files.REMEDY) -> tuple[R, ...]:
    """Read records; further columns are ignored.

    Args:
        path: the table.
        record: class of the rows.
        remedy: what to do about a damaged table.

    Raises:
        DataError: it cannot be read or is damaged; the error names row and column of a bad cell.
    """
    rows = files.read_table(path, columns(record), remedy)
    records = []
    for number, cells in rows:
        try:
            records.append(_record(record, cells))
        except _CellError as error:
            raise files.damaged(
                path, error.message, remedy, row=number, column=error.column
            ) from error
    return tuple(records)


def columns(record: type) -> tuple[str, ...]:
    """The columns of a record, in the order of its fields."""
    names: list[str] = []
    for name, kind in _kinds(record).items():
        nested = columns(kind) if isinstance(kind, type) else None
        names += [name] if nested is None else [f"{name}_{part}" for part in nested]
    return tuple(names)


def values(row: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    """The values of a record by column."""
    by_column: dict[str, Any] = {}
    for field in fields(row):
        value = getattr(row, field.name)
        if is_dataclass(value):
            by_column |= {f"{field.name}_{name}": part for name, part in values(value).items()}
        else:
            by_column[field.name] = value
    return by_column


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)


Parser = Callable[[str], object]


class _CellError(ValueError):
    """A cell that cannot be read.

    Attributes:
        column: its column.
        message: what is wrong with it.
    """

    def __init__(self, column: str, message: str) -> None:
        self.column, self.message = column, message
        super().__init__(column, message)


def _record(record: type[R], cells: Mapping[str, str], prefix: str = "") -> R:
    """A record from the cells of a row whose columns begin with `prefix`."""
    parts: dict[str, object] = {}
    for name, kind in _kinds(cast("type", record)).items():
        column = f"{prefix}{name}"
        if isinstance(kind, type):
            parts[name] = _record(kind, cells, f"{column}_")
            continue
        try:
            parts[name] = kind(cells[column])
        except ValueError as error:
            raise _CellError(column, str(error)) from error
    return record(**parts)


@functools.cache
def _kinds(record: type) -> dict[str, Parser | type]:
    """What reads the cell of each field, or the class of a field that is a dataclass."""
    hints = get_type_hints(record)
    return {
        field.name: hints[field.name]
        if is_dataclass(hints[field.name])
        else _parser(hints[field.name])
        for field in fields(record)
    }


def _parser(hint: Any) -> Parser:  # noqa: ANN401 - any annotation
    if get_origin(hint) is Literal:
        return functools.partial(_one_of, choices=get_args(hint))
    kinds = get_args(hint) or (hint,)
    number = next((parse for kind, parse in _NUMBERS.items() if kind in kinds), None)
    if number is None:
        return _same
    return functools.partial(_optional, parse=number) if NoneType in kinds else number


def _same(cell: str) -> str:
    return cell


def _one_of(cell: str, *, choices: tuple[str, ...]) -> str:
    if cell not in choices:
        message = f"is {cell!r}, not one of {', '.join(choices)}"
        raise ValueError(message)
    return cell


def _whole(cell: str) -> int:
    if not (cell.isascii() and cell.isdigit()):
        message = f"is {cell!r}, not a whole number"
        raise ValueError(message)
    return int(cell)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError as error:
        message = f"is {cell!r}, not a number"
        raise ValueError(message) from error


_NUMBERS: dict[type, Parser] = {int: _whole, float: _number}


def _optional(cell: str, *, parse: Parser) -> object:
    value = parse(cell) if cell else None
    return None if isinstance(value, float) and math.isnan(value) else value
