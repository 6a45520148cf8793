"""Reading of landmark points: tables, 3D Slicer's .fcsv and .mrk.json, and others, all into RAS mm.

A table (TSV or CSV) has the columns label, x, y, z and optionally `space` (RAS or LPS) and `unit`.
Tables of ANTs and 3D Slicer are recognised by their columns; for lists of other programs see
`foreign_points`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tenter.errors import DataError
from tenter.formats import foreign_points, slicer_points
from tenter.formats.point_lists import AXES, MM_PER_UNIT, SIGNS, Point, PointList, is_number
from tenter.records import Fault

__all__ = ["AXES", "Point", "absent", "is_named_so", "read_points", "scan"]

DECIMAL = re.compile(r"^(\s*[+-]?\d*),(\d+)(?=([eE][+-]?\d+)?\s*$)")
"""A number with a decimal comma."""
TABLES, FCSV, MARKUPS = (".tsv", ".csv", ".txt"), ".fcsv", ".json"
LISTS = (".dat", ".tag", ".pts")
"""Suffixes of lists that are recognised by their content alone."""

TABLE_FIX = (
    "give the columns label, x, y, z (RAS mm), or state `space` and `unit` in columns of those "
    "names"
)
NO_HEADER_FIX = (
    "add a header `label,x,y,z,space`, with a name and RAS or LPS in each row; voxel coordinates "
    "(Learn2Reg, DIR-Lab) must first be converted to mm with the affine of their image"
)
ANTS = ("x", "y", "z", "t")
"""The first columns of tables of ANTs, which are in LPS mm."""

SLICER_AXES = {("r", "a", "s"): "RAS", ("l", "p", "s"): "LPS"}
"""Coordinate columns of tables exported by 3D Slicer."""


def is_named_so(path: Path) -> bool:
    """Whether the suffix of a file is one of point files."""
    return path.name.lower().endswith((*TABLES, *LISTS, FCSV, MARKUPS))


def read_points(path: Path) -> tuple[Point, ...]:
    """Read a file of landmark points.

    Args:
        path: `.tsv`, `.csv` (or `.txt`), `.fcsv`, `.mrk.json` or `.json` file, or a list that
            `foreign_points` recognises.

    Returns:
        Name and RAS mm of each point, in the order of the file.

    Raises:
        DataError: the file has faults, of which the error holds all.
    """
    points, faults = scan(path)
    if faults:
        raise DataError(faults)
    return points


def scan(path: Path) -> tuple[tuple[Point, ...], tuple[Fault, ...]]:
    """Read the valid points of a file, and all its faults."""
    listed = PointList(path)
    text = listed.text()
    if text is None:
        return (), tuple(listed.faults)
    name = path.name.lower()
    foreign = foreign_points.read(text)
    if foreign is not None:
        _foreign(listed, foreign)
    elif name.endswith(FCSV) or text.startswith("# Markups fiducial file"):
        slicer_points.fcsv(listed, text)
    elif name.endswith(MARKUPS):
        slicer_points.markups(listed, text)
    elif name.endswith(TABLES):
        _table(listed, text)
    else:
        listed.complain(
            "is not a known list of points",
            "give a .tsv, .csv, .fcsv or .mrk.json file of points",
        )
        return (), tuple(listed.faults)
    listed.finish()
    return tuple(listed.points), tuple(listed.faults)


def _foreign(listed: PointList, foreign: foreign_points.Points) -> None:
    """Add the points and faults of another program's list."""
    for complaint in foreign.complaints:
        listed.complain(*complaint)
    for row, name, cells in foreign.rows:
        listed.add(name, cells, (foreign.space, 1.0), row)


def _table(listed: PointList, text: str) -> None:
    """Read `label, x, y, z[, space][, unit]`, separated by tabs, commas or semicolons."""
    header = text.split("\n", 1)[0]
    try:
        delimiter = next((sign for sign in "\t;" if sign in header), ",")
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
        lines = (
            _without_blank_ends(lines)
            if delimiter == ","
            else _with_points(_without_blank_ends(lines))
        )
    except csv.Error:
        listed.complain("is not a table", "check quotes and line ends")
        return
    columns = [cell.strip().lower() for cell in lines[0]] if lines else []
    rows = [
        (row, cells) for row, cells in enumerate(lines[1:], start=2) if any(map(str.strip, cells))
    ]
    if columns and sum(map(is_number, columns)) >= len(AXES):
        listed.complain(
            "has no header, and nothing says what its numbers are", NO_HEADER_FIX, 1, "label"
        )
    elif {"i", "j", "k"} <= set(columns):
        listed.complain("holds voxel indices (columns i, j, k)", foreign_points.VOXELS_TO_MM, 1)
    elif "space" not in columns and "t" in columns:
        _ants(listed, columns, rows)
    else:
        _named(listed, columns, rows)


def _named(listed: PointList, columns: list[str], rows: Sequence[tuple[int, list[str]]]) -> None:
    """Read rows below a header with label and coordinates."""
    space = "RAS"
    for axes, name in SLICER_AXES.items():
        if set(axes) <= set(columns) and not set(AXES) <= set(columns):
            columns = [dict(zip(axes, AXES, strict=True)).get(column, column) for column in columns]
            space = name
    missing = [name for name in ("label", *AXES) if columns.count(name) != 1]
    for name in missing:
        listed.complain("is not in the header exactly once", TABLE_FIX, 1, name)
    if missing:
        return
    for row, cells in rows:
        if _has_all_cells(listed, row, cells, columns):
            named = dict(zip(columns, map(str.strip, cells), strict=True))
            _row(listed, row, named | {"space": named.get("space") or space})


def _ants(listed: PointList, columns: list[str], rows: Sequence[tuple[int, list[str]]]) -> None:
    """Read a table of ANTs: x, y, z in LPS mm, t, and optionally label."""
    if tuple(columns[:4]) != ANTS:
        fix = "add the column space (RAS or LPS), or remove the column t"
        listed.complain("is a column of ANTs, whose tables begin with x, y, z, t", fix, 1, "t")
        return
    if len({cells[3].strip() for _, cells in rows if len(cells) > 3}) > 1:
        listed.complain("holds several times", "keep the points of one", None, "t")
        return
    labelled = columns.count("label") == 1
    for count, (row, cells) in enumerate(rows, start=1):
        if _has_all_cells(listed, row, cells, columns):
            name = cells[columns.index("label")].strip() if labelled else str(count)
            listed.add(name, [cell.strip() for cell in cells[:3]], ("LPS", 1.0), row)


def _has_all_cells(
    listed: PointList, row: int, cells: Sequence[str], columns: Sequence[str]
) -> bool:
    if len(cells) == len(columns):
        return True
    listed.complain(
        f"has {len(cells)} cells, the header has {len(columns)}", "correct the row", row
    )
    return False


def _row(listed: PointList, row: int, cells: dict[str, str]) -> None:
    space, unit = cells["space"], cells.get("unit") or "mm"
    if space.upper() not in SIGNS:
        listed.complain("is neither RAS nor LPS", "convert the points to RAS mm", row, "space")
    elif unit.lower() not in MM_PER_UNIT:
        listed.complain("is not mm, cm or m", "convert the points to RAS mm", row, "unit")
    else:
        factor = MM_PER_UNIT[unit.lower()]
        listed.add(cells["label"], [cells[axis] for axis in AXES], (space.upper(), factor), row)


def _without_blank_ends(lines: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows without the blank cells that spreadsheets add beyond the last named column."""
    if not lines:
        return []
    width = max((index + 1 for index, name in enumerate(lines[0]) if name.strip()), default=0)
    return [
        list(line[:width]) if not any(map(str.strip, line[width:])) else list(line)
        for line in lines
    ]


def _with_points(lines: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows with `1.5` for `1,5` in the coordinates, unless a coordinate has a decimal point.

    For tables that are not separated by commas.
    """
    axes = (
        {index for index, name in enumerate(lines[0]) if name.strip().lower() in AXES}
        if lines
        else set()
    )
    cells = [cell for line in lines[1:] for index, cell in enumerate(line) if index in axes]
    if any("." in cell for cell in cells):
        return [list(line) for line in lines]
    return [
        [DECIMAL.sub(r"\1.\2", cell) if index in axes else cell for index, cell in enumerate(line)]
        for line in lines
    ]


def absent(points: Iterable[Point], reference: Iterable[Point]) -> tuple[str, ...]:
    """Names of `points` that are absent in `reference`, in order."""
    known = {point.name for point in reference}
    return tuple(point.name for point in points if point.name not in known)
