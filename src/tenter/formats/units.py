"""Units of length: those that files state, in mm, and whether sizes are plausible where they state none."""

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
"""How headers in text write units; the first two state none."""

SMALLEST_SPACING_MM, LARGEST_SPACING_MM = 0.02, 50.0
"""Voxels of another size are not those of a medical image, as a rule."""

LARGEST_EXTENT_MM = 5000.0
"""Nor are images of a larger extent."""


def unit(path: Path, word: str, field: str) -> str | None:
    """The unit that a header in text states: a key of `MILLIMETRES`, or None.

    Raises:
        DataError: the unit is not known.
    """
    name = word.strip().lower().replace("\u00b5", "u").replace("\u03bc", "u")
    if name not in UNIT_NAMES:
        raise refusal(
            path, f"is measured in {word!r} ({field}), which is not a known unit", "export it in mm"
        )
    return UNIT_NAMES[name]


def size_mm(unit: str | None) -> float:
    """A unit of length in mm; what has none counts as mm."""
    return MILLIMETRES[unit or "mm"]


def in_mm(affine: Matrix, unit: str | None) -> Matrix:
    """An affine in mm.

    Args:
        affine: voxel to places in a unit.
        unit: a key of `MILLIMETRES`; None counts as mm.
    """
    factor = size_mm(unit)
    return np.diag([factor, factor, factor, 1.0]) @ affine if factor != 1 else affine


def require_plausible_size(
    path: Path, affine: Matrix, shape: tuple[int, int, int], unit: str | None, statement: str
) -> None:
    """Refuse voxels whose size shows that the file's unit is not the one it counts as.

    Only of a file that states no unit, or metres where mm would fit. Across a slice any thickness will do.

    Args:
        path: the file.
        affine: voxel to RAS mm.
        shape: its voxels.
        unit: what the file states, or None.
        statement: how the file's header says that mm are right, for the message.

    Raises:
        DataError: naming the voxel size.
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
        what = f"has voxels of {sizes} mm, as its header states {name}"
        raise refusal(path, what, f"set {statement} if its numbers are mm, else export it again")
    guess = "metres" if small else "micrometres"
    what = f"has voxels of {sizes} mm, and its header states no unit: they seem to be {guess}"
    fix = f"write its geometry in mm, or where these are mm state it: set {statement}"
    raise refusal(path, what, fix)


def is_large(affine: Matrix, shape: tuple[int, int, int]) -> bool:
    """Whether voxels, or all of them together, are larger than those of a medical image."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    along = np.arange(3) != slices.normal(shape)
    extent = spacing * shape
    return bool(spacing[along].max() > LARGEST_SPACING_MM or extent[along].max() > LARGEST_EXTENT_MM)
