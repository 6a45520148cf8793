"""Lists of points of other programs, known by what marks them, and what is certain of each.

Read are those whose coordinates are certainly RAS or LPS mm; the others are refused by the program's
name, with a way to convert them. Points without names are named by their order: 1, 2, 3, ...
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

AS_TABLE = "write them as a table with the columns label, x, y, z (RAS mm)"
VOXELS_TO_MM = (
    "convert them to mm by their image's affine (nibabel.affines.apply_affine(nib.load(image).affine, "
    "voxels)), and write a table with the columns label, x, y, z"
)


class Row(NamedTuple):
    """A point as it is written: line of the file, name, three cells."""

    row: int
    name: str
    cells: tuple[str, ...]


class Complaint(NamedTuple):
    """Why a list is not read."""

    message: str
    fix: str
    row: int | None = None
    column: str | None = None


@dataclass
class Points:
    """What a list holds: its space (RAS or LPS, mm), its rows, and what is wrong with it."""

    space: str = "RAS"
    rows: list[Row] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)


def read(text: str) -> Points | None:
    """Read a list of another program; None if nothing marks it as one.

    Args:
        text: of the file, its lines ended by line feeds.
    """
    for mark, reader in READERS:
        if mark.search(text):
            return reader(text)
    return None


def refused(message: str, fix: str) -> Points:
    """A list that is not read at all."""
    return Points(complaints=[Complaint(message, fix)])


def _numbered(lines: Sequence[tuple[int, str]], space: str) -> Points:
    """Rows of three numbers, named by their order."""
    points = Points(space)
    for count, (row, line) in enumerate(lines, start=1):
        cells = tuple(line.split())
        if len(cells) == 3:
            points.rows.append(Row(row, str(count), cells))
        else:
            points.complaints.append(Complaint(f"has {len(cells)} cells, not three", "correct the row", row))
    return points


def _filled(text: str) -> list[tuple[int, str]]:
    """Line numbers and lines that are not blank."""
    lines = enumerate(text.split("\n"), start=1)
    return [(row, line.strip()) for row, line in lines if line.strip()]


def _elastix(text: str) -> Points:
    """`point` and their number, then x, y, z in LPS mm, as transformix takes them (-def)."""
    (_, kind), (_, count), *lines = _filled(text)
    if kind == "index":
        return refused("holds voxel indices (elastix)", VOXELS_TO_MM)
    points = _numbered(lines, "LPS")
    if len(lines) != int(count):
        message = f"says that it holds {int(count)} points, and holds {len(lines)}"
        points.complaints.append(Complaint(message, "correct the second line", 2))
    return points


def _transformix(_: str) -> Points:
    fix = (
        "copy the points that you mean, InputPoint or OutputPoint, into a file of its own: a line `point`, "
        "a line with their number, then x y z of each"
    )
    return refused("holds points before and after a transform (transformix)", fix)


def _freesurfer(text: str) -> Points:
    """Control points: x, y, z, then the lines info, numpoints, useRealRAS."""
    said = re.search(r"^useRealRAS[ \t]+(\d+)[ \t]*$", text, re.MULTILINE)
    if said is None or said[1] != "1":
        fix = "save them in freeview as scanner RAS (useRealRAS 1), or " + AS_TABLE
        return refused("holds points in FreeSurfer's surface RAS, not in scanner RAS", fix)
    lines = _filled(text)
    end = next(place for place, (_, line) in enumerate(lines) if line == "info")
    return _numbered(lines[:end], "RAS")


def _label(_: str) -> Points:
    return refused("is a label file of FreeSurfer, mostly in surface RAS", f"for points, {AS_TABLE}")


def _mni(text: str) -> Points:
    """MNI's tag file: world coordinates, x to the right, y to the front, z up."""
    volumes = re.search(r"^\s*Volumes\s*=\s*(\d+)\s*;", text, re.MULTILINE)
    if volumes is None or volumes[1] != "1":
        fix = "write the columns of each volume as a table of its own: label, x, y, z (RAS mm, as they are)"
        return refused("holds points of two volumes (MNI tag file)", fix)
    points = Points("RAS")
    lines = _filled(text)
    begin = next((place for place, (_, line) in enumerate(lines) if line.startswith("Points")), len(lines))
    for row, line in lines[begin + 1 :]:
        content = line.rstrip("; \t")
        if not content or content[0] in "%#":
            continue
        name = re.search(r'"([^"]*)"$', content)
        cells = (content[: name.start()] if name else content).split()
        if len(cells) not in {3, 6}:
            message = f"has {len(cells)} numbers, neither 3 nor 6"
            points.complaints.append(Complaint(message, "correct the row", row))
            continue
        label = name[1].strip() if name else ""
        points.rows.append(Row(row, label or str(len(points.rows) + 1), tuple(cells[:3])))
    return points


def _snap(_: str) -> Points:
    return refused("is a label description of ITK-SNAP, which holds no points", "give a file of points")


def _xml(_: str) -> Points:
    return refused("is XML (an annotation of ITK-SNAP, or of another program)", AS_TABLE)


def _vtk(_: str) -> Points:
    return refused("is a VTK file, which does not say whether it is in RAS or LPS", AS_TABLE)


READERS: tuple[tuple[re.Pattern[str], Callable[[str], Points]], ...] = (
    (re.compile(r"\A\s*(point|index)[ \t]*\n\s*\d+[ \t]*(\n|\Z)"), _elastix),
    (re.compile(r"\A\s*Point\s+\d+\s*;\s*InputIndex"), _transformix),
    (re.compile(r"\A\s*MNI Tag Point File"), _mni),
    (re.compile(r"^info[ \t]*\nnumpoints[ \t]+\d+", re.MULTILINE), _freesurfer),
    (re.compile(r"\A#!ascii label"), _label),
    (re.compile(r"\A[#\s]*ITK-SnAP Label Description File", re.IGNORECASE), _snap),
    (re.compile(r"\A\s*<(\?xml|!DOCTYPE)"), _xml),
    (re.compile(r"\A# vtk DataFile"), _vtk),
)
"""What marks a list, and what reads it."""
