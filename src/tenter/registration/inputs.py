"""The user's two images: read completely, and rejected for the same reasons as by `check`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tenter.config import LabelFiles
from tenter.errors import DataError, InputError
from tenter.formats import volumes
from tenter.formats.volumes import Volume
from tenter.intake import agreement, integrity
from tenter.intake.integrity import Finding
from tenter.records import Fault
from tenter.shapes import Matrix
from tenter.spatial import geometry

SIDES = ("moving", "fixed")


@dataclass(frozen=True, slots=True, eq=False)
class Original:
    """An image of a new patient.

    Attributes:
        side: `moving` or `fixed`.
        volume: its voxels and affine.
        path: its file, or None for a volume in memory.
        doubts: warnings about it, which do not prevent its use.
    """

    side: str
    volume: Volume
    path: Path | None = None
    doubts: tuple[Fault, ...] = ()

    @property
    def shown(self) -> str:
        """How messages refer to the image."""
        return str(self.path) if self.path else f"{self.side} image"

    @property
    def name(self) -> str:
        """The file's name up to its first dot, or the side."""
        return self.path.name.partition(".")[0] or self.side if self.path else self.side

    def warning(self, message: str, fix: str) -> Fault:
        """A warning about the image."""
        return Fault(self.shown, message, fix, severity="WARNING")


def original(image: Path | Volume, side: str) -> Original:
    """Read an image from a file, or check one in memory.

    Args:
        image: any readable file or folder, or a volume.
        side: `moving` or `fixed`.

    Raises:
        InputError: it cannot be used; the reason is the one that `tenter check` would give.
    """
    if isinstance(image, Volume):
        return _checked(Original(side, _plain(image, side)))
    header_finding = _sound(integrity.examine(image, "image", LabelFiles(), quick=True))
    try:
        volume = volumes.read_image(image)
    except DataError as error:
        _sound(integrity.examine(image, "image", LabelFiles()))
        raise InputError(error.faults) from error
    return _checked(Original(side, volume, image, header_finding.faults))


def require_two(moving: Original, fixed: Original) -> None:
    """Reject a pair whose two images are the same.

    Raises:
        InputError: both have the same voxels and affine.
    """
    moving_volume, fixed_volume = moving.volume, fixed.volume
    if np.array_equal(moving_volume.affine, fixed_volume.affine) and np.array_equal(
        moving_volume.array, fixed_volume.array
    ):
        message = "has the same content as the moving image"
        raise InputError(Fault(fixed.shown, message, "give two images"))


def apart(moving: Original, fixed: Original, alignment: Matrix) -> Fault | None:
    """A warning if the images do not overlap after alignment.

    Args:
        moving: the moving image.
        fixed: the fixed image.
        alignment: RAS mm to RAS mm, a fixed point to its moving point.
    """
    if agreement.overlap(_finding(moving.volume), _finding(fixed.volume), alignment):
        return None
    ends = [
        np.array([geometry.centre_mm(volume.affine, volume.array.shape[1:])])
        for volume in (moving.volume, fixed.volume)
    ]
    distance = float(np.linalg.norm(ends[0] - geometry.apply(alignment, ends[1])))
    message = f"does not overlap the fixed image at all (centres {distance:.1f} mm apart)"
    return moving.warning(message, "align by `centre`, or check both headers (unit, origin)")


def _sound(finding: Finding) -> Finding:
    errors = [fault for fault in finding.faults if fault.severity == "ERROR"]
    if errors:
        raise InputError(errors)
    return finding


def _plain(volume: Volume, side: str) -> Volume:
    """A volume in memory, checked and converted as if read from a file."""
    array, affine = np.asarray(volume.array), np.asarray(volume.affine, dtype=np.float64)
    message = ""
    if array.ndim != 4 or min(array.shape) < 1 or array.shape[1:].count(1) > 1:
        message = (
            f"has sizes {array.shape}, not channels and the voxels of a volume or of one slice"
        )
    elif (
        affine.shape != (4, 4)
        or not np.isfinite(affine).all()
        or abs(np.linalg.det(affine)) < 1e-12
    ):
        message = "has an affine that is not an invertible matrix from voxels to mm"
    elif not np.isfinite(array).all():
        message = "holds values that are NaN or infinite"
    if message:
        fix = "give Volume(array [c, x, y, z], affine [4, 4])"
        raise InputError([Fault(f"{side} image", message, fix)])
    return replace(volume, array=np.ascontiguousarray(array, dtype=np.float32), affine=affine)


def _checked(image: Original) -> Original:
    constant = [
        index for index, values in enumerate(image.volume.array) if values.min() == values.max()
    ]
    if constant:
        message = (
            f"is constant in channel {constant[0]}"
            if len(image.volume.array) > 1
            else "is constant"
        )
        raise InputError(Fault(image.shown, message, "give an image that shows something"))
    return image


def _finding(volume: Volume) -> Finding:
    _, x, y, z = volume.array.shape
    rows = tuple(tuple(float(value) for value in row) for row in volume.affine)
    return Finding(kind="image", shape=(x, y, z), affine=rows)
