"""Point lists of other programs, recognised by characteristic text.

Lists whose coordinates are certainly RAS or LPS mm are read; others are refused with the name of
the program and a way to convert them. Points without names are numbered in order: 1, 2, 3, ...
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

AS_TABLE = "write them as a table with the columns label, x, y, z (RAS mm)"
VOXELS_TO_MM = (
    "convert them to mm with their image's affine "
    "(nibabel.affines.apply_affine(nib.load(image).affine, voxels)), "
    "and write a table with the columns label, x, y, z"
)


class Row(NamedTuple):
    """A point as stored: line of the file, name, three cells."""

    row: int
    name: str
    cells: tuple[str, ...]


class Complaint(NamedTuple):
    """A fault of a list."""

    message: str
    fix: str
    row: int | None = None
    column: str | None = None


@dataclass
class Points:
    """The content of a list: its space (RAS or LPS, mm), rows and faults."""

    space: str = "RAS"
    rows: list[Row] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)


def read(text: str) -> Points | None:
    """Read a list of another program; None if it is not recognised as one.

    Args:
        text: of the file, with lines ended by line feeds.
    """
    for mark, reader in READERS:
        if mark.search(text):
            return reader(text)
    return None


def refused(message: str, fix: str) -> Points:
    """The result for a list that is refused as a whole."""
    return Points(complaints=[Complaint(message, fix)])


def _numbered(lines: Sequence[tuple[int, str]], space: str) -> Points:
    """Rows of three numbers, with points numbered in order."""
    points = Points(space)
    for count, (row, line) in enumerate(lines, start=1):
        cells = tuple(line.split())
        if len(cells) == 3:
            points.rows.append(Row(row, str(count), cells))
        else:
            points.complaints.append(
                Complaint(f"has {len(cells)} cells, not three", "correct the row", row)
            )
    return points


def _nonblank_lines(text: str) -> list[tuple[int, str]]:
    """Numbers and texts of the lines that are not blank."""
    lines = enumerate(text.split("\n"), start=1)
    return [(row, line.strip()) for row, line in lines if line.strip()]


def _elastix(text: str) -> Points:
    """`point`, the number of points, then x, y, z in LPS mm, as transformix -def reads them."""
    (_, kind), (_, count), *lines = _nonblank_lines(text)
    if kind == "index":
        return refused("holds voxel indices (elastix)", VOXELS_TO_MM)
    points = _numbered(lines, "LPS")
    if len(lines) != int(count):
        message = f"states {int(count)} points but holds {len(lines)}"
        points.complaints.append(Complaint(message, "correct the second line", 2))
    return points


def _transformix(_: str) -> Points:
    fix = (
        "copy the points that you want, InputPoint or OutputPoint, into a separate file: a line "
        "`point`, a line with their number, then x y z of each"
    )
    return refused("holds points before and after a transform (transformix)", fix)


def _freesurfer(text: str) -> Points:
    """Control points: x, y, z, then the lines info, numpoints, useRealRAS."""
    match = re.search(r"^useRealRAS[ \t]+(\d+)[ \t]*$", text, re.MULTILINE)
    if match is None or match[1] != "1":
        fix = "save them in freeview as scanner RAS (useRealRAS 1), or " + AS_TABLE
        return refused("holds points in FreeSurfer's surface RAS, not in scanner RAS", fix)
    lines = _nonblank_lines(text)
    end = next(index for index, (_, line) in enumerate(lines) if line == "info")
    return _numbered(lines[:end], "RAS")


def _label(_: str) -> Points:
    return refused(
        "is a label file of FreeSurfer, mostly in surface RAS", f"for points, {AS_TABLE}"
    )


def _mni(text: str) -> Points:
    """Tag file of MNI: world coordinates, x to the right, y to the front, z up."""
    volumes = re.search(r"^\s*Volumes\s*=\s*(\d+)\s*;", text, re.MULTILINE)
    if volumes is None or volumes[1] != "1":
        fix = (
            "write the columns of each volume as a separate table: label, x, y, z (RAS mm, "
            "without conversion)"
        )
        return refused("holds points of two volumes (MNI tag file)", fix)
    points = Points("RAS")
    lines = _nonblank_lines(text)
    begin = next(
        (index for index, (_, line) in enumerate(lines) if line.startswith("Points")), len(lines)
    )
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
    return refused(
        "is a label description of ITK-SNAP, which holds no points", "give a file of points"
    )


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
"""Characteristic text of each kind of list, and its reader."""
