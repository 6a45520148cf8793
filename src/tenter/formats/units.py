"""Units of length in files, and checks that sizes are plausible if no unit is stated."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tenter.formats.headers import refusal
from tenter.shapes import Matrix
from tenter.spatial import slices

MILLIMETRES = {"m": 1000.0, "cm": 10.0, "mm": 1.0, "um": 0.001}
"""Unit of length to its size in mm."""

UNIT_NAMES = {
    **dict.fromkeys(("", "?"), None),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), "m"),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), "cm"),
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), "mm"),
    **dict.fromkeys(("um", "micron", "microns", "micrometer", "micrometers"), "um"),
    **dict.fromkeys(("micrometre", "micrometres"), "um"),
}
"""Spellings of units in text headers; the first two state none."""

SMALLEST_SPACING_MM, LARGEST_SPACING_MM = 0.02, 50.0
"""Usual range of the voxel size of medical images."""

LARGEST_EXTENT_MM = 5000.0
"""Usual upper limit of their extent."""


def unit(path: Path, text: str, field: str) -> str | None:
    """The unit that a text header states: a key of `MILLIMETRES`, or None.

    Raises:
        DataError: the unit is unknown.
    """
    name = text.strip().lower().replace("\u00b5", "u").replace("\u03bc", "u")
    if name not in UNIT_NAMES:
        raise refusal(
            path, f"is measured in {text!r} ({field}), which is not a known unit", "export it in mm"
        )
    return UNIT_NAMES[name]


def size_mm(unit: str | None) -> float:
    """The size of a unit in mm; no unit counts as mm."""
    return MILLIMETRES[unit or "mm"]


def in_mm(affine: Matrix, unit: str | None) -> Matrix:
    """An affine in mm.

    Args:
        affine: voxel to position in the unit.
        unit: a key of `MILLIMETRES`; None counts as mm.
    """
    factor = size_mm(unit)
    return np.diag([factor, factor, factor, 1.0]) @ affine if factor != 1 else affine


def require_plausible_size(
    path: Path, affine: Matrix, shape: tuple[int, int, int], unit: str | None, statement: str
) -> None:
    """Refuse voxels whose size shows that the file's unit differs from the assumed one.

    Applies only to files that state no unit, or metres or centimetres where mm would be plausible.
    The thickness of a slice is not checked.

    Args:
        path: the file.
        affine: voxel to RAS mm.
        shape: voxels of the volume.
        unit: unit that the file states, or None.
        statement: how to state mm in the header of the file, for the message.

    Raises:
        DataError: the size is implausible; the message states the voxel size.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    along = np.arange(3) != slices.normal(shape)
    small = spacing[along].max() < SMALLEST_SPACING_MM
    large = is_large(affine, shape)
    if not (unit is None and (small or large)) and not (unit in {"m", "cm"} and large):
        return
    sizes = " x ".join(f"{size:.4g}" for size in spacing)
    if unit is not None:
        name = {"m": "metres", "cm": "centimetres"}[unit]
        message = f"has voxels of {sizes} mm, as its header states {name}"
        raise refusal(path, message, f"set {statement} if its numbers are mm, else export it again")
    guess = "metres" if small else "micrometres"
    message = f"has voxels of {sizes} mm, and its header states no unit: they seem to be {guess}"
    fix = f"write its geometry in mm, or, if these are mm, state so: set {statement}"
    raise refusal(path, message, fix)


def is_large(affine: Matrix, shape: tuple[int, int, int]) -> bool:
    """Whether the voxel size or the extent is larger than usual for medical images."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    along = np.arange(3) != slices.normal(shape)
    extent = spacing * shape
    return bool(
        spacing[along].max() > LARGEST_SPACING_MM or extent[along].max() > LARGEST_EXTENT_MM
    )
