"""Writing of landmark points in RAS mm as tables, or as 3D Slicer's .fcsv and .mrk.json.

Every file states its coordinate system and unit, and can be read by `points.read_points`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tenter import files
from tenter.errors import InputError
from tenter.formats.point_lists import AXES, SIGNS, Point
from tenter.records import Fault

DECIMALS = 6
"""Decimals of coordinates in mm: a resolution of 1 nm."""

FCSV_HEAD = (
    "# Markups fiducial file version = 4.11",
    # Every version of 3D Slicer reads this value as RAS, including those that expect a number.
    "# CoordinateSystem = RAS",
    "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID",
)
MARKUPS_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/"
    "Modules/Loadable/Markups/Resources/Schema/markups-schema-v1.0.3.json#"
)


def write_points(path: Path, points: Sequence[Point]) -> None:
    """Write points in the format given by the file's suffix, completely or not at all.

    Args:
        path: `.tsv` or `.csv` (columns label, x, y, z, space, unit; RAS mm), `.fcsv` (3D
            Slicer, RAS) or `.mrk.json` (3D Slicer, LPS).
        points: name and RAS mm of each.

    Raises:
        InputError: the suffix is none of these.
        OutputError: the file could not be written.
    """
    files.write_text(path, _writer(path)(points))


def require_format(path: Path) -> None:
    """Refuse a file name without a suffix of a point format.

    Raises:
        InputError: the suffix is unknown; the message names the formats.
    """
    _writer(path)


def rounded(value: float) -> float:
    """A coordinate as written: rounded to 1 nm, and never -0."""
    return round(value, DECIMALS) + 0.0


def separated(rows: Iterable[Iterable[object]], delimiter: str) -> str:
    """Rows as text, one per line; cells are quoted if necessary, floats have six decimals."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    writer.writerows([_cell(value) for value in row] for row in rows)
    return stream.getvalue()


def _writer(path: Path) -> Callable[[Sequence[Point]], str]:
    name = path.name.lower()
    for suffix, writer in WRITERS.items():
        if name.endswith(suffix):
            return writer
    fault = Fault(str(path), "is not in a known format of points", f"name it {', '.join(WRITERS)}")
    raise InputError([fault])


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{rounded(value):.{DECIMALS}f}"
    return "" if value is None else str(value)


def _table(points: Sequence[Point], delimiter: str) -> str:
    rows = [(point.name, *point.xyz, "RAS", "mm") for point in points]
    return separated([("label", *AXES, "space", "unit"), *rows], delimiter)


def _fcsv(points: Sequence[Point]) -> str:
    rows = [
        (number, *point.xyz, 0, 0, 0, 1, 1, 1, 0, point.name, "", "")
        for number, point in enumerate(points, start=1)
    ]
    return "\n".join([*FCSV_HEAD, separated(rows, ",")])


def _markups(points: Sequence[Point]) -> str:
    markup = {
        "type": "Fiducial",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": False,
        "fixedNumberOfControlPoints": False,
        "labelFormat": "%N-%d",
        "lastUsedControlPointNumber": len(points),
        "controlPoints": [_control(number, point) for number, point in enumerate(points, start=1)],
    }
    content = {"@schema": MARKUPS_SCHEMA, "markups": [markup]}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _control(number: int, point: Point) -> dict[str, object]:
    """A control point; its coordinates keep their decimal point, as 3D Slicer requires."""
    return {
        "id": str(number),
        "label": point.name,
        "description": "",
        "associatedNodeID": "",
        "position": [
            rounded(sign * value) for sign, value in zip(SIGNS["LPS"], point.xyz, strict=True)
        ],
        "orientation": [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0],
        "selected": True,
        "locked": False,
        "visibility": True,
        "positionStatus": "defined",
    }


WRITERS: dict[str, Callable[[Sequence[Point]], str]] = {
    ".tsv": lambda points: _table(points, "\t"),
    ".csv": lambda points: _table(points, ","),
    ".fcsv": _fcsv,
    ".mrk.json": _markups,
}
