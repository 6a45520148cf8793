"""What a volume's header must say before its voxels are read: sizes, place, and one complaint a cause."""

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
from tenter.shapes import Matrix
from tenter.spatial import slices

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_VOXELS = 2**30
"""Voxels of all channels together, above which a header is held to lie."""

DAMAGE: tuple[type[Exception], ...] = (EOFError, gzip.BadGzipFile, zlib.error, isal_zlib.error)  # type: ignore[assignment] # isal's stub calls the class an instance
"""What unpacking raises for truncated or damaged data."""

UNREADABLE: tuple[type[Exception], ...] = (*DAMAGE, OSError)
"""What unpacking a file raises in all."""

THICKNESS_MM = 1.0
"""Of a slice whose file says none."""

TOLERANCE_MM = 1e-3
"""Places closer than this are the same."""

TOLERANCE_DIRECTION = 1e-4
"""Directions closer than this (in radians) are the same, and axes as near to right angles are right."""

REPAIR = "repair the geometry in its header, or export the image again"


@dataclass(frozen=True, slots=True)
class Segment:
    """One structure of a segmentation of 3D Slicer.

    Attributes:
        name: of the structure.
        layer: channel that it is in.
        value: its voxels in that channel.
    """

    name: str
    layer: int
    value: int


@dataclass(frozen=True, slots=True)
class Header:
    """What can be said of a volume without reading its voxels.

    Attributes:
        shape: voxels along the three axes as stored.
        channels: of a 4-D image or stack; 1 for a 3-D one.
        affine: voxel to RAS mm.
        dtype: of the stored values, before any scaling.
        segments: of a segmentation of 3D Slicer, in its order.
    """

    shape: tuple[int, int, int]
    channels: int
    affine: Matrix
    dtype: np.dtype[np.generic]
    segments: tuple[Segment, ...] = ()


def refusal(path: Path, what: str, mend: str) -> DataError:
    """The error for a file that cannot be used: one line with file, fault and mend."""
    return DataError(f"{path}: {' '.join(what.split())}; {mend}")


def require_file(path: Path) -> bytes:
    """Refuse what is no file with content; the first bytes of one that is.

    Raises:
        DataError: missing, a folder or pipe, unreadable, empty, or a text that stands for a file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise refusal(path, "is no regular file", "give the path of one image file")
        with path.open("rb") as stream:
            start = stream.read(512)
    except FileNotFoundError:
        raise refusal(path, "does not exist", "correct the path") from None
    except OSError as error:
        raise refusal(path, f"cannot be read ({error.strerror})", "check its permissions and disk") from error
    if not start:
        raise refusal(path, "is empty (0 bytes)", "copy it again from its source")
    if start.startswith(b"version https://git-lfs"):
        raise refusal(path, "is a Git LFS pointer, not the image", "fetch it by `git lfs pull`")
    if start.lstrip()[:9].lower() in {b"<!doctype", b"<html>"} or start.lstrip()[:5].lower() == b"<html":
        raise refusal(path, "is a web page (HTML), not an image", "download it again")
    return start


def sized(path: Path, sizes: Sequence[int]) -> tuple[tuple[int, int, int], int]:
    """Shape and channels that stored sizes stand for.

    Trailing axes of size 1 count as absent, and so does a fourth axis of size 1 before a fifth one (ITK
    writes several values a voxel so into NIfTI: the fourth axis of that format is time). Two axes are a
    volume of one slice.

    Raises:
        DataError: not 2-D, 3-D or 4-D, a size below 1, a row of voxels, or absurdly many voxels.
    """
    stored = tuple(int(size) for size in sizes)
    if any(size < 1 for size in stored):
        raise refusal(path, f"header claims sizes {stored}", "export the image again")
    if math.prod(stored) > MAX_VOXELS:
        what = f"header claims sizes {stored}: {math.prod(stored)} voxels, above the limit of {MAX_VOXELS}"
        raise refusal(path, what, "export the image again, or crop it")
    kept = list(stored)
    while len(kept) > 3 and kept[-1] == 1:
        kept.pop()
    if len(kept) == 5 and kept[3] == 1:
        kept.pop(3)
    kept += [1] * (3 - len(kept))
    if kept[:3].count(1) > 1:
        what = f"is a row of voxels (sizes {stored})"
        raise refusal(path, what, "give a slice or a volume, of at least 2 voxels along its axes")
    if len(kept) > 4:
        raise refusal(path, f"has {len(kept)} axes (sizes {stored})", "give 3-D, or 4-D with channels last")
    return (kept[0], kept[1], kept[2]), kept[3] if len(kept) == 4 else 1


def thickened(affine: Matrix, shape: Sequence[int]) -> Matrix:
    """The affine of a slice of no thickness with one of `THICKNESS_MM` at a right angle; others as they are.

    Args:
        affine: of a header; the column of the axis across a slice may be zero.
        shape: its voxels.
    """
    axis = slices.normal(shape)
    if axis is None or affine[:3, axis].any():
        return affine
    across = np.cross(affine[:3, (axis + 1) % 3], affine[:3, (axis + 2) % 3])
    result = affine.copy()
    result[:3, axis] = THICKNESS_MM * across / max(float(np.linalg.norm(across)), 1e-12)
    return result


def placed(path: Path, affine: Matrix) -> Matrix:
    """The affine of a header, once it proved to be one of a rectangular grid.

    Raises:
        DataError: not finite, singular or sheared.
    """
    if not np.isfinite(affine).all():
        raise refusal(path, "affine holds NaN or Inf", REPAIR)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if spacing.min() < 1e-6 or abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-3:
        what = f"affine is singular (voxel size {[float(f'{size:.3g}') for size in spacing]} mm)"
        raise refusal(path, what, REPAIR)
    axes = affine[:3, :3] / spacing
    shear = float(np.abs(axes.T @ axes - np.eye(3)).max())
    if shear > TOLERANCE_DIRECTION:
        what = f"affine is sheared (axes deviate from right angles by {shear:.2g})"
        raise refusal(path, what, "resample the image on a rectangular grid")
    return np.asarray(affine, dtype=np.float64)


def corners(shape: tuple[int, int, int]) -> np.ndarray:
    """Homogeneous voxel indices of a volume's eight corner voxels, `[4, 8]`."""
    ends = itertools.product(*((0, size - 1) for size in shape))
    return np.array([(*end, 1) for end in ends], dtype=np.float64).T


def gap_mm(first: Matrix, second: Matrix, shape: tuple[int, int, int]) -> float:
    """Largest distance in mm between the places that two affines give the corner voxels."""
    return float(np.linalg.norm(((first - second) @ corners(shape))[:3], axis=0).max())


def same_place(first: Matrix, second: Matrix, shape: tuple[int, int, int]) -> bool:
    """Whether two affines put a volume in the same place.

    The first voxels must agree within `TOLERANCE_MM`, the other corners within that plus
    `TOLERANCE_DIRECTION` times their distance from the first voxel.
    """
    voxels = corners(shape)
    gaps = np.linalg.norm(((first - second) @ voxels)[:3], axis=0)
    reach = np.linalg.norm((first @ voxels - (first @ voxels[:, :1]))[:3], axis=0)
    return bool((gaps <= TOLERANCE_MM + TOLERANCE_DIRECTION * reach).all())


@dataclass(frozen=True, slots=True)
class VoxelOrder:
    """The order in which a volume stores the voxels of another's grid.

    Attributes:
        axes: for each axis of the grid the volume's axis along it.
        flipped: for each axis of the grid whether the volume counts it the other way.
    """

    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    def applied(self, values: np.ndarray) -> np.ndarray:
        """A volume's `[..., x, y, z]` in the grid's order."""
        first = values.ndim - 3
        turned = values.transpose(*range(first), *(first + axis for axis in self.axes))
        flips = tuple(first + axis for axis, flip in enumerate(self.flipped) if flip)
        result: np.ndarray = np.flip(turned, flips)
        return result

    def shape(self, stored: tuple[int, int, int]) -> tuple[int, int, int]:
        """A volume's shape in the grid's order."""
        x, y, z = (stored[axis] for axis in self.axes)
        return x, y, z

    def affine(self, affine: Matrix, stored: tuple[int, int, int]) -> Matrix:
        """A volume's affine in the grid's order, of a volume of shape `stored`."""
        to_stored = np.zeros((4, 4))
        to_stored[3, 3] = 1
        for axis, (source, flip) in enumerate(zip(self.axes, self.flipped, strict=True)):
            to_stored[source, axis] = -1 if flip else 1
            to_stored[source, 3] = stored[source] - 1 if flip else 0
        return affine @ to_stored


SAME_ORDER = VoxelOrder((0, 1, 2), (False, False, False))


def voxel_order(affine: Matrix, grid: Matrix) -> VoxelOrder | None:
    """How a volume's axes run beside a grid's; None where they are not nearly parallel.

    Args:
        affine: of the volume.
        grid: affine of the grid.
    """
    directions = [item[:3, :3] / np.linalg.norm(item[:3, :3], axis=0) for item in (grid, affine)]
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
    """The order in which a volume stores a grid's voxels; None where it has other voxels.

    Args:
        volume: its shape and its affine.
        grid: likewise.
    """
    order = voxel_order(volume[1], grid[1])
    if order is None or order.shape(volume[0]) != grid[0]:
        return None
    return order if same_place(grid[1], order.affine(volume[1], volume[0]), grid[0]) else None


def require_same_grid(path: Path, labels: Header, shape: tuple[int, int, int], affine: Matrix) -> None:
    """Refuse labels that do not lie voxel on voxel on their image; the order of voxels may differ.

    Args:
        path: the label file.
        labels: its header.
        shape: voxels of the image.
        affine: voxel to RAS mm of the image.

    Raises:
        DataError: with the difference.
    """
    if order_on_grid((labels.shape, labels.affine), (shape, affine)) is not None:
        return
    order = voxel_order(labels.affine, affine) or SAME_ORDER
    if order.shape(labels.shape) != shape:
        what = f"labels have shape {labels.shape}, their image {shape}"
        raise refusal(path, what, "store labels on their image's grid")
    turned = order.affine(labels.affine, labels.shape)
    what = f"labels lie up to {gap_mm(affine, turned, shape):.4g} mm from their image"
    raise refusal(path, f"{what} ({_differences(turned, affine)})", "store labels on their image's grid")


def _differences(first: Matrix, second: Matrix) -> str:
    """In what two affines differ: places in mm, voxel sizes in mm and directions in degrees."""
    spacings = [np.linalg.norm(item[:3, :3], axis=0) for item in (first, second)]
    cosines = [item[:3, :3] / spacing for item, spacing in zip((first, second), spacings, strict=True)]
    # Half the angle by its sine, which is exact for small ones.
    halves = np.linalg.norm(cosines[0] - cosines[1], axis=0).clip(0, 2) / 2
    angle = float(np.degrees(2 * np.arcsin(halves)).max())
    parts = []
    for name, values in (("origin", [first[:3, 3], second[:3, 3]]), ("voxel size", spacings)):
        apart = float(np.linalg.norm(values[0] - values[1]))
        if apart > 1e-9:
            parts.append(f"{name} {' against '.join(_told_apart(*values))} mm, {apart:.3g} mm apart")
    if angle > 1e-7:
        parts.append(f"axes {angle:.3g} degrees apart")
    return ", ".join(parts)


def _told_apart(first: np.ndarray, second: np.ndarray) -> list[str]:
    """Two vectors with as many decimals as it takes to see where they differ, at least 3."""
    for decimals in range(3, 12):
        texts = [str([round(float(value), decimals) for value in item]) for item in (first, second)]
        if texts[0] != texts[1]:
            break
    return texts
