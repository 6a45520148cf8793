"""Points and faults of one file, collected while it is read."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tenter.manifest import encoding
from tenter.records import Fault

AXES = ("x", "y", "z")
LARGEST_BYTES = 16 * 2**20
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
MM_PER_UNIT = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
SIGNS = {"RAS": (1.0, 1.0, 1.0), "LPS": (-1.0, -1.0, 1.0)}


class Point(NamedTuple):
    """A landmark.

    Attributes:
        name: identifies the corresponding point of the other image.
        xyz: position in RAS mm.
    """

    name: str
    xyz: tuple[float, float, float]


@dataclass
class PointList:
    """The points and faults of a file."""

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

    def add(self, name: str, cells: Sequence[str], frame: tuple[str, float], row: int) -> None:
        """Add a point, given as text in the space and unit (in mm) of its file."""
        space, factor = frame
        invalid = [axis for axis, cell in zip(AXES, cells, strict=True) if not is_number(cell)]
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


def is_number(text: str) -> bool:
    """Whether a text is a finite decimal number."""
    return NUMBER.fullmatch(text) is not None and math.isfinite(float(text))
