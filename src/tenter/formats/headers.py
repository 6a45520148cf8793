"""Checks of a volume's header before its voxels are read: file, sizes and geometry."""

from __future__ import annotations

import gzip
import itertools
import math
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from isal import isal_zlib

from tenter.errors import DataError
from tenter.manifest import companions
from tenter.manifest.companions import TextHeader
from tenter.records import Fault
from tenter.shapes import Matrix
from tenter.spatial import slices

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_VOXELS = 2**30
"""Voxels of all channels together above which a header is considered wrong."""

# The stub of isal declares the class `error` as an instance.
_ISAL_ERROR: type[Exception] = isal_zlib.error  # type: ignore[assignment]
DAMAGE: tuple[type[Exception], ...] = (EOFError, gzip.BadGzipFile, zlib.error, _ISAL_ERROR)
"""Exceptions of decompression for truncated or damaged data."""

UNREADABLE: tuple[type[Exception], ...] = (*DAMAGE, OSError)
"""All exceptions of decompressing a file."""

THICKNESS_MM = 1.0
"""Thickness of a slice whose file states none."""

TOLERANCE_MM = 1e-3
"""Positions closer than this are considered equal."""

TOLERANCE_DIRECTION = 1e-4
"""Tolerance of directions, and of right angles between axes, in radians."""

REPAIR = "repair the geometry in its header, or export the image again"


@dataclass(frozen=True, slots=True)
class Segment:
    """One structure of a segmentation of 3D Slicer.

    Attributes:
        name: of the structure.
        layer: channel that contains it.
        value: value of its voxels in that channel.
    """

    name: str
    layer: int
    value: int


@dataclass(frozen=True, slots=True)
class Header:
    """The properties of a volume that are known without reading its voxels.

    Attributes:
        shape: voxels along the three axes as stored.
        channels: number of channels of a 4-D image or stack; 1 for a 3-D one.
        affine: voxel to RAS mm.
        dtype: of the stored values, before any scaling.
        segments: segments of a 3D Slicer segmentation, in the order of the file.
    """

    shape: tuple[int, int, int]
    channels: int
    affine: Matrix
    dtype: np.dtype[np.generic]
    segments: tuple[Segment, ...] = ()


def refusal(path: Path, message: str, fix: str) -> DataError:
    """The error for a file that cannot be used; line breaks in the message become blanks."""
    return DataError(Fault(str(path), " ".join(message.split()), fix))


def require_file(path: Path) -> bytes:
    """Read the first bytes of a regular, nonempty file; refuse anything else.

    Raises:
        DataError: missing, a folder or pipe, unreadable, empty, or a Git LFS pointer or web page
            instead of the file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise refusal(path, "is not a regular file", "give the path of one image file")
        with path.open("rb") as stream:
            start = stream.read(512)
    except FileNotFoundError:
        raise refusal(path, "does not exist", "correct the path") from None
    except OSError as error:
        raise refusal(
            path, f"cannot be read ({error.strerror})", "check its permissions and disk"
        ) from error
    if not start:
        raise refusal(path, "is empty (0 bytes)", "copy it again from its source")
    if start.startswith(b"version https://git-lfs"):
        raise refusal(path, "is a Git LFS pointer, not the image", "fetch it with `git lfs pull`")
    if (
        start.lstrip()[:9].lower() in {b"<!doctype", b"<html>"}
        or start.lstrip()[:5].lower() == b"<html"
    ):
        raise refusal(path, "is a web page (HTML), not an image", "download it again")
    return start


def text(path: Path) -> TextHeader:
    """The header of a MetaImage or NRRD file.

    Raises:
        DataError: as `require_file`.
    """
    try:
        return companions.text_header(path)
    except OSError:
        require_file(path)
        raise


def sized(path: Path, sizes: Sequence[int]) -> tuple[tuple[int, int, int], int]:
    """Shape and number of channels for the stored sizes.

    Trailing axes of size 1 are ignored, and so is a fourth axis of size 1 before a fifth one: this
    is how ITK stores several values per voxel in NIfTI, whose fourth axis is time. Two axes form a
    volume of one slice.

    Raises:
        DataError: not 2-D, 3-D or 4-D, a size below 1, a row of voxels, or absurdly many voxels.
    """
    stored = tuple(int(size) for size in sizes)
    if any(size < 1 for size in stored):
        raise refusal(path, f"header claims sizes {stored}", "export the image again")
    if math.prod(stored) > MAX_VOXELS:
        message = (
            f"header claims sizes {stored}: {math.prod(stored)} voxels, "
            f"above the limit of {MAX_VOXELS}"
        )
        raise refusal(path, message, "export the image again, or crop it")
    remaining = list(stored)
    while len(remaining) > 3 and remaining[-1] == 1:
        remaining.pop()
    if len(remaining) == 5 and remaining[3] == 1:
        remaining.pop(3)
    remaining += [1] * (3 - len(remaining))
    if remaining[:3].count(1) > 1:
        message = f"is a row of voxels (sizes {stored})"
        raise refusal(
            path, message, "give a slice or a volume, of at least 2 voxels along its axes"
        )
    if len(remaining) > 4:
        raise refusal(
            path,
            f"has {len(remaining)} axes (sizes {stored})",
            "give 3-D, or 4-D with channels last",
        )
    return (remaining[0], remaining[1], remaining[2]), remaining[3] if len(remaining) == 4 else 1


def thickened(affine: Matrix, shape: Sequence[int]) -> Matrix:
    """The affine of a slice without thickness, completed by a perpendicular step of `THICKNESS_MM`.

    Other affines are returned unchanged.

    Args:
        affine: of a header; the column of the axis normal to a slice may be zero.
        shape: voxels of the volume.
    """
    axis = slices.normal(shape)
    if axis is None or affine[:3, axis].any():
        return affine
    across = np.cross(affine[:3, (axis + 1) % 3], affine[:3, (axis + 2) % 3])
    result = affine.copy()
    result[:3, axis] = THICKNESS_MM * across / max(float(np.linalg.norm(across)), 1e-12)
    return result


def placed(path: Path, affine: Matrix) -> Matrix:
    """The affine of a header, after verification that its grid is rectangular.

    Raises:
        DataError: not finite, singular or sheared.
    """
    if not np.isfinite(affine).all():
        raise refusal(path, "affine holds NaN or Inf", REPAIR)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if spacing.min() < 1e-6 or abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
        message = f"affine is singular (voxel size {[float(f'{size:.3g}') for size in spacing]} mm)"
        raise refusal(path, message, REPAIR)
    axes = affine[:3, :3] / spacing
    shear = float(np.abs(axes.T @ axes - np.eye(3)).max())
    if shear > TOLERANCE_DIRECTION:
        message = f"affine is sheared (axes deviate from right angles by {shear:.2g})"
        raise refusal(path, message, "resample the image on a rectangular grid")
    return np.asarray(affine, dtype=np.float64)


def corners(shape: tuple[int, int, int]) -> np.ndarray:
    """Homogeneous voxel indices of a volume's eight corner voxels, `[4, 8]`."""
    ends = itertools.product(*((0, size - 1) for size in shape))
    return np.array([(*end, 1) for end in ends], dtype=np.float64).T


def gap_mm(first: Matrix, second: Matrix, shape: tuple[int, int, int]) -> float:
    """Largest distance in mm between the corner voxels' positions under two affines."""
    return float(np.linalg.norm(((first - second) @ corners(shape))[:3], axis=0).max())


def same_place(first: Matrix, second: Matrix, shape: tuple[int, int, int]) -> bool:
    """Whether two affines place a volume at the same position.

    The first voxels must agree within `TOLERANCE_MM`, the other corners within that plus
    `TOLERANCE_DIRECTION` times their distance from the first voxel.
    """
    voxels = corners(shape)
    gaps = np.linalg.norm(((first - second) @ voxels)[:3], axis=0)
    reach = np.linalg.norm((first @ voxels - (first @ voxels[:, :1]))[:3], axis=0)
    return bool((gaps <= TOLERANCE_MM + TOLERANCE_DIRECTION * reach).all())


@dataclass(frozen=True, slots=True)
class VoxelOrder:
    """The order in which a volume stores the voxels of another volume's grid.

    Attributes:
        axes: for each axis of the grid, the parallel axis of the volume.
        flipped: for each axis of the grid, whether the volume reverses it.
    """

    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    def applied(self, values: np.ndarray) -> np.ndarray:
        """Values `[..., x, y, z]` of a volume, in the order of the grid."""
        first = values.ndim - 3
        turned = values.transpose(*range(first), *(first + axis for axis in self.axes))
        flips = tuple(first + axis for axis, flip in enumerate(self.flipped) if flip)
        result: np.ndarray = np.flip(turned, flips)
        return result

    def shape(self, stored: tuple[int, int, int]) -> tuple[int, int, int]:
        """Shape of a volume in the order of the grid."""
        x, y, z = (stored[axis] for axis in self.axes)
        return x, y, z

    def affine(self, affine: Matrix, stored: tuple[int, int, int]) -> Matrix:
        """Affine of a volume of shape `stored`, in the order of the grid."""
        to_stored = np.zeros((4, 4))
        to_stored[3, 3] = 1
        for axis, (source, flip) in enumerate(zip(self.axes, self.flipped, strict=True)):
            to_stored[source, axis] = -1 if flip else 1
            to_stored[source, 3] = stored[source] - 1 if flip else 0
        return affine @ to_stored


SAME_ORDER = VoxelOrder((0, 1, 2), (False, False, False))


def voxel_order(affine: Matrix, grid: Matrix) -> VoxelOrder | None:
    """How the axes of a volume correspond to those of a grid; None if they are not nearly parallel.

    Args:
        affine: of the volume.
        grid: affine of the grid.
    """
    directions = [
        matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0) for matrix in (grid, affine)
    ]
    cosines = np.rint(np.linalg.inv(directions[0]) @ directions[1])
    axes = np.abs(cosines).argmax(axis=1)
    if sorted(axes.tolist()) != [0, 1, 2] or np.abs(cosines).sum() != 3:
        return None
    x, y, z = (int(axis) for axis in axes)
    flips = tuple(bool(cosines[axis, source] < 0) for axis, source in enumerate(axes))
    return VoxelOrder((x, y, z), (flips[0], flips[1], flips[2]))


def order_on_grid(
    volume: tuple[tuple[int, int, int], Matrix], grid: tuple[tuple[int, int, int], Matrix]
) -> VoxelOrder | None:
    """The order in which a volume stores the voxels of a grid; None if its voxels differ.

    Args:
        volume: its shape and its affine.
        grid: likewise.
    """
    order = voxel_order(volume[1], grid[1])
    if order is None or order.shape(volume[0]) != grid[0]:
        return None
    return order if same_place(grid[1], order.affine(volume[1], volume[0]), grid[0]) else None


def require_same_grid(
    path: Path, labels: Header, shape: tuple[int, int, int], affine: Matrix
) -> None:
    """Refuse labels whose voxels do not coincide with those of their image, in any order.

    Args:
        path: the label file.
        labels: its header.
        shape: voxels of the image.
        affine: voxel to RAS mm of the image.

    Raises:
        DataError: the grids differ; the message states the difference.
    """
    if order_on_grid((labels.shape, labels.affine), (shape, affine)) is not None:
        return
    order = voxel_order(labels.affine, affine) or SAME_ORDER
    if order.shape(labels.shape) != shape:
        message = f"labels have shape {labels.shape}, their image {shape}"
        raise refusal(path, message, "store labels on their image's grid")
    turned = order.affine(labels.affine, labels.shape)
    message = f"labels lie up to {gap_mm(affine, turned, shape):.4g} mm from their image"
    raise refusal(
        path, f"{message} ({_differences(turned, affine)})", "store labels on their image's grid"
    )


def _differences(first: Matrix, second: Matrix) -> str:
    """How two affines differ: positions in mm, voxel sizes in mm and directions in degrees."""
    spacings = [np.linalg.norm(matrix[:3, :3], axis=0) for matrix in (first, second)]
    cosines = [
        matrix[:3, :3] / spacing for matrix, spacing in zip((first, second), spacings, strict=True)
    ]
    # The sine of half the angle is accurate for small angles.
    halves = np.linalg.norm(cosines[0] - cosines[1], axis=0).clip(0, 2) / 2
    angle = float(np.degrees(2 * np.arcsin(halves)).max())
    parts = []
    for name, values in (("origin", [first[:3, 3], second[:3, 3]]), ("voxel size", spacings)):
        apart = float(np.linalg.norm(values[0] - values[1]))
        if apart > 1e-9:
            parts.append(
                f"{name} {' against '.join(_distinguishable(*values))} mm, {apart:.3g} mm apart"
            )
    if angle > 1e-7:
        parts.append(f"axes {angle:.3g} degrees apart")
    return ", ".join(parts)


def _distinguishable(first: np.ndarray, second: np.ndarray) -> list[str]:
    """Two vectors with as many decimals as are needed to distinguish them, at least 3."""
    for decimals in range(3, 12):
        texts = [
            str([round(float(value), decimals) for value in vector]) for vector in (first, second)
        ]
        if texts[0] != texts[1]:
            break
    return texts
