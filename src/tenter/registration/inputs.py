"""Two images as a user names them: read to the last byte, and refused where `check` would refuse them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tenter.config import LabelFiles
from tenter.errors import DataError, InputError, TenterError
from tenter.formats import volumes
from tenter.formats.volumes import Volume
from tenter.intake import agreement, integrity
from tenter.intake.integrity import Finding, Problem
from tenter.records import Fault
from tenter.shapes import Matrix
from tenter.spatial import geometry

SIDES = ("moving", "fixed")


@dataclass(frozen=True, slots=True, eq=False)
class Original:
    """An image of a new patient.

    Attributes:
        side: `moving` or `fixed`.
        volume: what it shows.
        path: its file, or None for one in memory.
        doubts: what is odd about it, but no reason to refuse it.
    """

    side: str
    volume: Volume
    path: Path | None = None
    doubts: tuple[Problem, ...] = ()

    @property
    def shown(self) -> str:
        """What complaints call it."""
        return str(self.path) if self.path else f"{self.side} image"

    @property
    def name(self) -> str:
        """The file's name up to its first point, or the side."""
        return self.path.name.partition(".")[0] or self.side if self.path else self.side

    def warning(self, message: str, fix: str) -> Fault:
        """Something to tell of it."""
        return Fault(self.shown, message, fix, severity="WARNING")

    def refusal(self, message: str, fix: str) -> InputError:
        """Why it cannot be used."""
        return InputError([Fault(self.shown, message, fix)])


def original(image: Path | Volume, side: str) -> Original:
    """Read an image, or take one in memory.

    Args:
        image: any readable file or folder, or a volume.
        side: `moving` or `fixed`.

    Raises:
        InputError: it cannot be used, for the reason that `tenter check` would give.
    """
    if isinstance(image, Volume):
        return _checked(Original(side, _plain(image, side)))
    head = _sound(image, integrity.examine(image, "image", LabelFiles(), quick=True))
    try:
        volume = volumes.read_image(image)
    except DataError as error:
        _sound(image, integrity.examine(image, "image", LabelFiles()))
        raise told(error) from error
    return _checked(Original(side, volume, image, head.problems))


def require_two(moving: Original, fixed: Original) -> None:
    """Refuse one image in the place of two.

    Raises:
        InputError: both have the same content and place.
    """
    one, other = moving.volume, fixed.volume
    if np.array_equal(one.affine, other.affine) and np.array_equal(one.array, other.array):
        message = "has the same content as the moving image"
        raise fixed.refusal(message, "give two images")


def apart(moving: Original, fixed: Original, placed: Matrix) -> Fault | None:
    """A warning if the images share no place once aligned.

    Args:
        moving: the moving image.
        fixed: the fixed image.
        placed: RAS mm to RAS mm, a fixed point to its moving point.
    """
    if agreement.overlap(_finding(moving.volume), _finding(fixed.volume), placed):
        return None
    ends = [
        np.array([geometry.centre_mm(item.affine, item.array.shape[1:])])
        for item in (moving.volume, fixed.volume)
    ]
    distance = float(np.linalg.norm(ends[0] - geometry.apply(placed, ends[1])))
    message = f"does not overlap the fixed image at all (centres {distance:.1f} mm apart)"
    return moving.warning(message, "align by `centre`, or check both headers (unit, origin)")


def told(error: TenterError) -> InputError:
    """A complaint `file: what is wrong; mend` about what the user gave."""
    file, _, rest = str(error).partition(": ")
    if not rest:
        file, rest = "registration", file
    message, _, fix = rest.rpartition("; ")
    return InputError([Fault(file, message or rest, fix if message else "give another")])


def _sound(path: Path, finding: Finding) -> Finding:
    errors = [problem for problem in finding.problems if problem.severity == "ERROR"]
    if errors:
        raise InputError([Fault(str(path), problem.message, problem.fix) for problem in errors])
    return finding


def _plain(volume: Volume, side: str) -> Volume:
    """A volume in memory as a file would have given it."""
    array, affine = np.asarray(volume.array), np.asarray(volume.affine, dtype=np.float64)
    wrong = ""
    if array.ndim != 4 or min(array.shape) < 1 or array.shape[1:].count(1) > 1:
        wrong = f"has sizes {array.shape}, not channels and the voxels of a volume or of one slice"
    elif affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine)) < 1e-12:
        wrong = "has an affine that is no matrix from voxels to mm"
    elif not np.isfinite(array).all():
        wrong = "holds values that are NaN or infinite"
    if wrong:
        fix = "give Volume(array [c, x, y, z], affine [4, 4])"
        raise InputError([Fault(f"{side} image", wrong, fix)])
    return replace(volume, array=np.ascontiguousarray(array, dtype=np.float32), affine=affine)


def _checked(image: Original) -> Original:
    constant = [index for index, values in enumerate(image.volume.array) if values.min() == values.max()]
    if constant:
        message = f"is constant in channel {constant[0]}" if len(image.volume.array) > 1 else "is constant"
        raise image.refusal(message, "give an image that shows something")
    return image


def _finding(volume: Volume) -> Finding:
    _, x, y, z = volume.array.shape
    rows = tuple(tuple(float(value) for value in row) for row in volume.affine)
    return Finding(kind="image", shape=(x, y, z), affine=rows)
