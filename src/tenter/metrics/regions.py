"""Masks cropped to their bounding box, as a label fills a small part of its grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from tenter.shapes import Mask, Matrix

Box = tuple[slice, slice, slice]
Flags = Bool[np.ndarray, "..."]


@dataclass(frozen=True, slots=True)
class Region:
    """A mask within a larger grid; no voxel is set outside its box.

    Attributes:
        mask: the part of the mask inside the box.
        start: the box's first voxel in the grid.
    """

    mask: Mask
    start: tuple[int, int, int]

    @property
    def empty(self) -> bool:
        """Whether no voxel is set."""
        return not self.mask.any()


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A voxel grid in physical space.

    Attributes:
        affine: voxel -> RAS mm.
        shape: voxels along each axis.
    """

    affine: Matrix
    shape: tuple[int, int, int]


def same_grid(first: Grid, second: Grid) -> bool:
    """Whether two grids have the same shape and affine."""
    return first.shape == second.shape and np.array_equal(first.affine, second.affine)


def bounds(mask: Mask) -> Box | None:
    """Smallest box that holds all set voxels; None if there are none."""
    columns: Flags = np.any(mask, axis=2)
    x, y = _extent(np.any(columns, axis=1)), _extent(np.any(columns, axis=0))
    if x is None or y is None:
        return None
    z = _extent(np.any(mask[x, y], axis=(0, 1)))
    return None if z is None else (x, y, z)


def _extent(line: Flags) -> slice | None:
    indices = np.flatnonzero(line)
    return slice(int(indices[0]), int(indices[-1]) + 1) if indices.size else None


def hull(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds all boxes."""
    x, y, z = (
        slice(min(box[axis].start for box in boxes), max(box[axis].stop for box in boxes))
        for axis in range(3)
    )
    return x, y, z


def region(mask: Mask) -> Region | None:
    """A mask of a whole grid, cropped to its bounding box; None if it is empty."""
    box = bounds(mask)
    if box is None:
        return None
    return Region(mask[box], (box[0].start, box[1].start, box[2].start))


def on_one_grid(first: Region, second: Region) -> tuple[Mask, Mask, tuple[int, int, int]]:
    """Two regions of one grid on the smallest grid that holds both, and its first voxel."""
    parts = [box_region for box_region in (first, second) if box_region.mask.size] or [first]
    start = np.min([box_region.start for box_region in parts], axis=0)
    stop = np.max([np.add(box_region.start, box_region.mask.shape) for box_region in parts], axis=0)
    masks = []
    for box_region in (first, second):
        canvas = np.zeros(stop - start, dtype=np.bool_)
        if box_region.mask.size:
            begin = np.subtract(box_region.start, start)
            box = tuple(
                slice(a, a + size) for a, size in zip(begin, box_region.mask.shape, strict=True)
            )
            canvas[box] = box_region.mask
        masks.append(canvas)
    return masks[0], masks[1], (int(start[0]), int(start[1]), int(start[2]))


def shifted(affine: Matrix, start: tuple[int, int, int]) -> Matrix:
    """Affine of a grid that begins at voxel `start` of another."""
    result = affine.copy()
    result[:3, 3] += affine[:3, :3] @ np.array(start, dtype=np.float64)
    return result
