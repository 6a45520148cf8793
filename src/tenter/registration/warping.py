"""Volumes resampled onto the other image's grid, points mapped into it, and checks of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool

from tenter.formats.points import Point
from tenter.formats.volumes import LabelVolume, Volume
from tenter.metrics.regions import Grid
from tenter.shapes import Matrix, PointsMm
from tenter.spatial import geometry, pull, warp
from tenter.spatial.transform import Transform

Fill = float | Literal["edge"]

RETURN_MM = 0.05
"""A point with a larger round-trip error has no inverse: the field folds or ends there."""

LATTICE = 17
"""Sample points along each axis of a grid."""


@dataclass(frozen=True, slots=True, eq=False)
class WarpedVolume:
    """A volume on another grid.

    Attributes:
        values: `[c, x, y, z]`.
        within: share of the grid's voxels, in [0, 1], inside the volume; the others are filled.
    """

    values: np.ndarray
    within: float


@dataclass(frozen=True, slots=True)
class MappedPoints:
    """Points in the other image.

    Attributes:
        points: with their names, in their order.
        outside: names of points outside the transform's grid, where only its alignment acts.
        residuals_mm: by name, the round-trip errors of points without an exact inverse.
    """

    points: tuple[Point, ...]
    outside: tuple[str, ...]
    residuals_mm: dict[str, float]


def warp_values(
    values: np.ndarray,
    affine: Matrix,
    transform: Transform,
    grid: Grid,
    *,
    mode: warp.Mode,
    fill: Fill = 0.0,
    inverse: bool = False,
) -> WarpedVolume:
    """Resample a volume onto a grid of the other image: one interpolation, in float64.

    As in ITK, a volume ends half a voxel beyond its outermost voxel centres; its edge continues
    up to there.

    Args:
        values: `[c, x, y, z]`, of the moving image; of the fixed one with `inverse`.
        affine: its voxel to RAS mm.
        transform: fixed point to moving point.
        grid: of the fixed image; of the moving one with `inverse`.
        mode: `linear`, or the `nearest` voxel.
        fill: value beyond the volume; `edge` continues its edge without end.
        inverse: warp the fixed image to the moving one's grid.

    Returns:
        The volume; integers read at the nearest voxel keep their type, all else is float32.
    """
    precise = replace(transform, field=transform.field.to(torch.float64))
    source = torch.from_numpy(values.astype(np.float64))[None]
    # An expanded view: one voxel in memory, whatever the size of the volume.
    extent = torch.ones((1, 1, 1, 1, 1), dtype=torch.float64).expand(1, 1, *values.shape[1:])
    dtype = (
        values.dtype if mode == "nearest" and values.dtype.kind in "iu" else np.dtype(np.float32)
    )
    result = np.empty((len(values), *grid.shape), dtype=dtype)
    within = 0
    thickness = max(1, pull.SLAB_VOXELS // (grid.shape[1] * grid.shape[2]))
    for first in range(0, grid.shape[0], thickness):
        slab = slice(first, min(first + thickness, grid.shape[0]))
        slab_affine = grid.affine @ geometry.translation((float(first), 0.0, 0.0))
        shape = (slab.stop - slab.start, *grid.shape[1:])
        moves = pull.displacement(precise, slab_affine, shape, inverse=inverse)
        inside = (
            pull.pull_by(extent, moves, slab_affine, affine, mode="nearest", padding="zeros")[0]
            > 0.5
        )
        read = pull.pull_by(source, moves, slab_affine, affine, mode=mode)
        if fill != "edge":
            read = torch.where(inside, read, fill)
        result[:, slab] = read.numpy()
        within += int(inside.count_nonzero())
    return WarpedVolume(result, within / int(np.prod(grid.shape)))


def warp_image(
    image: Volume, transform: Transform, grid: Grid, *, fill: Fill = 0.0, inverse: bool = False
) -> tuple[Volume, float]:
    """Resample an image linearly onto a grid of the other image; arguments as of `warp_values`.

    Returns:
        The image, and the share of the grid's voxels that it covers.
    """
    warped = warp_values(
        image.array, image.affine, transform, grid, mode="linear", fill=fill, inverse=inverse
    )
    return Volume(warped.values, grid.affine), warped.within


def warp_labels(
    labels: LabelVolume,
    transform: Transform,
    grid: Grid,
    *,
    fill: Fill = 0.0,
    inverse: bool = False,
) -> tuple[LabelVolume, float]:
    """Resample labels onto a grid of the other image: a map by the nearest voxel, a stack linearly.

    Other arguments as of `warp_values`; `fill` must be one that `fill_fault` accepts.

    Returns:
        The labels, and the share of the grid's voxels that they cover.
    """
    stack = labels.values.ndim == 4
    values = labels.values if stack else labels.values[None]
    mode: warp.Mode = "linear" if stack else "nearest"
    warped = warp_values(
        values, labels.affine, transform, grid, mode=mode, fill=fill, inverse=inverse
    )
    if stack:
        return LabelVolume(warped.values, grid.affine, labels.keys, labels.names), warped.within
    keys = tuple(int(key) for key in np.unique(warped.values) if key > 0)
    return LabelVolume(
        warped.values[0], grid.affine, keys, labels.names, labels.dtype
    ), warped.within


def fill_fault(labels: LabelVolume, fill: Fill) -> str | None:
    """A hint at the valid fill values for these labels if `fill` is invalid; else None."""
    if fill == "edge":
        return None
    if labels.values.ndim == 4:
        return None if 0 <= fill <= 1 else "give a number from 0 to 1"
    largest = np.iinfo(labels.dtype or labels.values.dtype).max
    valid = float(fill).is_integer() and 0 <= fill <= largest
    return None if valid else f"give a whole number from 0 to {largest}"


def map_points(
    points: Sequence[Point], transform: Transform, *, inverse: bool = False
) -> MappedPoints:
    """Map fixed points to the moving image; with `inverse`, moving points to the fixed one.

    Args:
        points: name and RAS mm of each; at least one.
        transform: fixed point to moving point.
        inverse: map from the moving image to the fixed one.
    """
    names = [point.name for point in points]
    starts = np.array([point.xyz for point in points], dtype=np.float64)
    ends, gaps = (
        transform.inverse_points(starts)
        if inverse
        else (transform.map_points(starts), np.zeros(len(starts)))
    )
    covered = covers(transform, ends if inverse else starts)
    return MappedPoints(
        tuple(
            Point(name, (float(x), float(y), float(z)))
            for name, (x, y, z) in zip(names, ends, strict=True)
        ),
        tuple(name for name, within in zip(names, covered, strict=True) if not within),
        {name: float(gap) for name, gap in zip(names, gaps, strict=True) if gap > RETURN_MM},
    )


def covers(transform: Transform, fixed_points: PointsMm) -> Bool[np.ndarray, "n"]:
    """Which fixed points lie on the transform's grid; all of them if its field is zero."""
    if not bool(transform.field.any()):
        return np.ones(len(fixed_points), dtype=np.bool_)
    return _inside(Grid(transform.affine, _shape(transform)), fixed_points)


def meets(transform: Transform, grid: Grid, *, inverse: bool = False) -> bool:
    """Whether a grid overlaps the transform's own; if not, the transform is of other images.

    Args:
        transform: fixed point to moving point.
        grid: of the fixed image; of the moving one with `inverse`.
        inverse: map from the moving image to the fixed one.
    """
    back = np.linalg.inv(transform.alignment) if inverse else np.eye(4)
    aligned_grid = Grid(back @ grid.affine, grid.shape)
    field_grid = Grid(transform.affine, _shape(transform))
    return bool(
        covers(transform, lattice(aligned_grid)).any()
        or _inside(aligned_grid, lattice(field_grid)).any()
    )


def unreturned(transform: Transform, grid: Grid) -> tuple[float, float]:
    """How much of a grid no fixed point maps to: gaps at the edge of the transform's own grid.

    Args:
        transform: fixed point to moving point.
        grid: of the moving image.

    Returns:
        The share of sample points all over the grid that are missed; and the largest miss in mm.
    """
    gaps = transform.inverse_points(lattice(grid))[1]
    return float((gaps > RETURN_MM).mean()), float(gaps.max())


def lattice(grid: Grid) -> PointsMm:
    """Sample points spread evenly over a grid, from its first voxel to its last, RAS mm."""
    ends = [np.linspace(0, size - 1, min(size, LATTICE)) for size in grid.shape]
    voxels = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3)
    return geometry.apply(grid.affine, voxels)


def _inside(grid: Grid, points: PointsMm) -> Bool[np.ndarray, "n"]:
    voxels = geometry.apply(np.linalg.inv(grid.affine), points)
    low, high = np.full(3, -0.5), np.array(grid.shape) - 0.5
    inside: Bool[np.ndarray, "n"] = np.all((voxels >= low) & (voxels < high), axis=1)
    return inside


def _shape(transform: Transform) -> tuple[int, int, int]:
    x, y, z = transform.field.shape[2:]
    return x, y, z
