"""Reading of landmark points: tables, 3D Slicer's .fcsv and .mrk.json, and others, all into RAS mm.

A table (TSV or CSV) has the columns label, x, y, z and optionally `space` (RAS or LPS) and `unit`.
Tables of ANTs and 3D Slicer are recognised by their columns; for lists of other programs see
`foreign_points`.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tenter.errors import DataError
from tenter.formats import foreign_points
from tenter.manifest import encoding
from tenter.records import Fault

AXES = ("x", "y", "z")
LARGEST_BYTES = 16 * 2**20
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
DECIMAL = re.compile(r"^(\s*[+-]?\d*),(\d+)(?=([eE][+-]?\d+)?\s*$)")
"""A number with a decimal comma."""
MM_PER_UNIT = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
SIGNS = {"RAS": (1.0, 1.0, 1.0), "LPS": (-1.0, -1.0, 1.0)}
SLICER_SPACES = {"0": "RAS", "1": "LPS"}
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


class Point(NamedTuple):
    """A landmark.

    Attributes:
        name: identifies the corresponding point of the other image.
        xyz: position in RAS mm.
    """

    name: str
    xyz: tuple[float, float, float]


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
    reader = _Reader(path)
    text = reader.text()
    if text is None:
        return (), tuple(reader.faults)
    name = path.name.lower()
    foreign = foreign_points.read(text)
    if foreign is not None:
        reader.foreign(foreign)
    elif name.endswith(FCSV) or text.startswith("# Markups fiducial file"):
        reader.fcsv(text)
    elif name.endswith(MARKUPS):
        reader.markups(text)
    elif name.endswith(TABLES):
        reader.table(text)
    else:
        reader.complain(
            "is not a known list of points",
            "give a .tsv, .csv, .fcsv or .mrk.json file of points",
        )
        return (), tuple(reader.faults)
    reader.finish()
    return tuple(reader.points), tuple(reader.faults)


@dataclass
class _Reader:
    """One pass over a file, collecting points and faults."""

    path: Path
    points: list[Point] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)

    def complain(
        self, message: str, fix: str, row: int | None = None, column: str | None = None
    ) -> None:
        """Add a fault."""
        self.faults.append(Fault(str(self.path), message, fix, row, column))

    def text(self) -> str | None:
        """The file's text, or None after a complaint."""
        if not self.path.is_file():
            self.complain("is missing, or is not a file", "correct the path")
            return None
        size = self.path.stat().st_size
        if size > LARGEST_BYTES:
            self.complain(
                f"has {size} bytes, too many for a list of points", "give a file of points"
            )
            return None
        try:
            decoded = encoding.decode(self.path.read_bytes(), lambda _: False)
        except encoding.EncodingError as error:
            self.complain(str(error), error.fix, error.row)
            return None
        if decoded.guess:
            self.complain(
                f"is not UTF-8 text ({decoded.guess}?)", "save it as UTF-8 text", decoded.row
            )
            return None
        return decoded.text

    def table(self, text: str) -> None:
        """Read `label, x, y, z[, space][, unit]`, separated by tabs, commas or semicolons."""
        header = text.split("\n", 1)[0]
        try:
            delimiter = next((sign for sign in "\t;" if sign in header), ",")
            lines = list(
                csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
            )
            lines = (
                _without_blank_ends(lines)
                if delimiter == ","
                else _with_points(_without_blank_ends(lines))
            )
        except csv.Error:
            self.complain("is not a table", "check quotes and line ends")
            return
        columns = [cell.strip().lower() for cell in lines[0]] if lines else []
        rows = [
            (row, cells)
            for row, cells in enumerate(lines[1:], start=2)
            if any(map(str.strip, cells))
        ]
        if columns and sum(map(_is_number, columns)) >= len(AXES):
            self.complain(
                "has no header, and nothing says what its numbers are", NO_HEADER_FIX, 1, "label"
            )
        elif {"i", "j", "k"} <= set(columns):
            self.complain("holds voxel indices (columns i, j, k)", foreign_points.VOXELS_TO_MM, 1)
        elif "space" not in columns and "t" in columns:
            self._ants(columns, rows)
        else:
            self._named(columns, rows)

    def _named(self, columns: list[str], rows: Sequence[tuple[int, list[str]]]) -> None:
        """Read rows below a header with label and coordinates."""
        space = "RAS"
        for axes, name in SLICER_AXES.items():
            if set(axes) <= set(columns) and not set(AXES) <= set(columns):
                columns = [
                    dict(zip(axes, AXES, strict=True)).get(column, column) for column in columns
                ]
                space = name
        missing = [name for name in ("label", *AXES) if columns.count(name) != 1]
        for name in missing:
            self.complain("is not in the header exactly once", TABLE_FIX, 1, name)
        if missing:
            return
        for row, cells in rows:
            if self._has_all_cells(row, cells, columns):
                named = dict(zip(columns, map(str.strip, cells), strict=True))
                self._row(row, named | {"space": named.get("space") or space})

    def _ants(self, columns: list[str], rows: Sequence[tuple[int, list[str]]]) -> None:
        """Read a table of ANTs: x, y, z in LPS mm, t, and optionally label."""
        if tuple(columns[:4]) != ANTS:
            fix = "add the column space (RAS or LPS), or remove the column t"
            self.complain("is a column of ANTs, whose tables begin with x, y, z, t", fix, 1, "t")
            return
        if len({cells[3].strip() for _, cells in rows if len(cells) > 3}) > 1:
            self.complain("holds several times", "keep the points of one", None, "t")
            return
        labelled = columns.count("label") == 1
        for count, (row, cells) in enumerate(rows, start=1):
            if self._has_all_cells(row, cells, columns):
                name = cells[columns.index("label")].strip() if labelled else str(count)
                self.add(name, [cell.strip() for cell in cells[:3]], ("LPS", 1.0), row)

    def _has_all_cells(self, row: int, cells: Sequence[str], columns: Sequence[str]) -> bool:
        if len(cells) == len(columns):
            return True
        self.complain(
            f"has {len(cells)} cells, the header has {len(columns)}", "correct the row", row
        )
        return False

    def foreign(self, listed: foreign_points.Points) -> None:
        """Add the points and faults of another program's list."""
        for complaint in listed.complaints:
            self.complain(*complaint)
        for row, name, cells in listed.rows:
            self.add(name, cells, (listed.space, 1.0), row)

    def _row(self, row: int, cells: dict[str, str]) -> None:
        space, unit = cells["space"], cells.get("unit") or "mm"
        if space.upper() not in SIGNS:
            self.complain("is neither RAS nor LPS", "convert the points to RAS mm", row, "space")
        elif unit.lower() not in MM_PER_UNIT:
            self.complain("is not mm, cm or m", "convert the points to RAS mm", row, "unit")
        else:
            factor = MM_PER_UNIT[unit.lower()]
            self.add(cells["label"], [cells[axis] for axis in AXES], (space.upper(), factor), row)

    def fcsv(self, text: str) -> None:
        """Read 3D Slicer's older format: comments with the space and columns, then rows."""
        lines = text.split("\n")
        comments: dict[str, str] = dict(
            re.findall(r"^#\s*(CoordinateSystem|columns)\s*=\s*(.*?)\s*$", text, re.MULTILINE)
        )
        stated = comments.get("CoordinateSystem", "")
        space = SLICER_SPACES.get(stated, stated).upper()
        if space not in SIGNS:
            fix = (
                "write `# CoordinateSystem = RAS` (or LPS) into its header, "
                "or save it again in 3D Slicer"
            )
            message = "does not say whether it is in RAS or LPS"
            if space in {"2", "IJK"}:
                message, fix = "is in voxels (IJK)", "save it again in 3D Slicer, in RAS or LPS"
            self.complain(message, fix, column="CoordinateSystem")
            return
        columns = [name.strip() for name in comments.get("columns", "").split(",")]
        missing = [name for name in (*AXES, "label") if name not in columns]
        for name in missing:
            self.complain("is not among the columns", "save it again in 3D Slicer", column=name)
        if missing:
            return
        for row, line in enumerate(lines, start=1):
            if not line.strip() or line.startswith("#"):
                continue
            cells = next(csv.reader([line]))
            if len(cells) <= max(columns.index(name) for name in (*AXES, "label")):
                self.complain("is cut short", "save the file again in 3D Slicer", row)
                continue
            named = dict(zip(columns, cells, strict=False))
            self.add(
                named["label"].strip(), [named[axis].strip() for axis in AXES], (space, 1.0), row
            )

    def markups(self, text: str) -> None:
        """Read 3D Slicer's JSON format: the control points of all its lists."""
        try:
            content: Any = json.loads(text)
            if isinstance(content, dict) and content.get("data_type") == "fs_pointset":
                self._freeview(content)
                return
            lists = [(markup, markup.get("controlPoints", [])) for markup in content["markups"]]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self.complain(
                "is not a markups file of 3D Slicer", "save the points again as .mrk.json"
            )
            return
        for markup, controls in lists:
            space = str(markup.get("coordinateSystem")).upper()
            unit = str(markup.get("coordinateUnits", "mm"))
            if space not in SIGNS:
                self.complain(
                    "is neither RAS nor LPS",
                    "save it again in 3D Slicer",
                    column="coordinateSystem",
                )
            elif unit not in MM_PER_UNIT:
                self.complain("is not mm, cm or m", "save it again in mm", column="coordinateUnits")
            elif not isinstance(controls, list) or not all(
                isinstance(markup, dict) for markup in controls
            ):
                self.complain(
                    "is not a list of points", "save it again in 3D Slicer", column="controlPoints"
                )
            else:
                self._controls(controls, (space, MM_PER_UNIT[unit]))

    def _freeview(self, content: dict[str, Any]) -> None:
        """Read FreeSurfer's JSON format, with points numbered in order."""
        if content.get("vox2ras") != "scanner_ras":
            fix = "save it in freeview as scanner RAS"
            self.complain("is not in scanner RAS (FreeSurfer)", fix, column="vox2ras")
            return
        for number, point in enumerate(content["points"], start=1):
            cells = [str(point["coordinates"][axis]) for axis in AXES]
            self.add(str(number), cells, ("RAS", 1.0), number)

    def _controls(self, controls: Sequence[dict[str, Any]], frame: tuple[str, float]) -> None:
        for number, control in enumerate(controls, start=1):
            position = control.get("position")
            defined = control.get("positionStatus", "defined") == "defined"
            if not defined or not isinstance(position, list) or len(position) != 3:
                self.complain("has no position", "place it or delete it", number, "position")
                continue
            self.add(
                str(control.get("label", "")).strip(),
                [str(value) for value in position],
                frame,
                number,
            )

    def add(self, name: str, cells: Sequence[str], frame: tuple[str, float], row: int) -> None:
        """Add a point, given as text in the space and unit (in mm) of its file."""
        space, factor = frame
        invalid = [axis for axis, cell in zip(AXES, cells, strict=True) if not _is_number(cell)]
        for axis in invalid:
            self.complain(
                "is not a finite number", "give the coordinate, or remove the point", row, axis
            )
        if not name or len(name) > 64 or not name.isprintable():
            self.complain(
                "is not a valid name",
                "name each point, in at most 64 printable characters",
                row,
                "label",
            )
        elif name in self.rows:
            self.complain(
                f"stands in row {self.rows[name]} too", "name each point once", row, "label"
            )
        elif not invalid:
            x, y, z = (
                sign * factor * float(cell) for sign, cell in zip(SIGNS[space], cells, strict=True)
            )
            self.points.append(Point(name, (x, y, z)))
        self.rows.setdefault(name, row)

    def finish(self) -> None:
        """Report a valid file without points."""
        if not self.points and not self.faults:
            self.complain("holds no points", "add points, or leave the manifest's cell blank")


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


def _is_number(text: str) -> bool:
    return NUMBER.fullmatch(text) is not None and math.isfinite(float(text))


def absent(points: Iterable[Point], reference: Iterable[Point]) -> tuple[str, ...]:
    """Names of `points` that are absent in `reference`, in order."""
    known = {point.name for point in reference}
    return tuple(point.name for point in points if point.name not in known)
