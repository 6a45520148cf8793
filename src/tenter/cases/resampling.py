"""Resample a volume onto a grid: smoothed if the grid is coarser, then interpolated linearly.

Where the grid's axes are parallel to the volume's, torch is not needed, which takes longer to load
than a small cohort takes to resample.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64

from tenter.cases import smoothing
from tenter.shapes import Matrix
from tenter.spatial import axes, slices

ROWS = 16
"""Positions interpolated together; the fastest number tried for lines of 70 to 90 voxels."""

Shape = tuple[int, int, int]
Sigmas = tuple[float, float, float]


def on_grid(
    volume: Float32[np.ndarray, "c x y z"],
    to_volume: Matrix,
    shape: tuple[int, int, int],
    *,
    padding: smoothing.Padding,
) -> Float32[np.ndarray, "c i j k"]:
    """Read a volume at the voxels of a grid; a slice is not smoothed along its normal.

    Args:
        volume: channels of one volume.
        to_volume: voxel of the grid to voxel of the volume.
        shape: voxels of the grid.
        padding: values beyond the volume: `border` repeats its edge, `zeros` is 0.

    Returns:
        `[c, *shape]`.
    """
    normal = slices.normal(volume.shape[1:])
    x, y, z = (0.0 if axis == normal else s for axis, s in enumerate(smoothing.sigmas(to_volume)))
    if axes.are_apart(to_volume, shape):
        return line_by_line(volume, to_volume, shape, (x, y, z), padding)
    from tenter.cases import oblique  # noqa: PLC0415 - loads torch, which most jobs do not need

    return oblique.read(volume, to_volume, shape, (x, y, z), padding)


def line_by_line(
    volume: Float32[np.ndarray, "c x y z"],
    to_volume: Matrix,
    shape: Shape,
    sigmas: Sigmas,
    padding: smoothing.Padding,
) -> Float32[np.ndarray, "c i j k"]:
    """As `oblique.read` for separable axes, but faster.

    Smoothing and interpolation are one matrix per axis, of which each block of positions needs few
    columns. Arguments as for `oblique.read`.
    """
    by_axis = axes.places(to_volume, shape)
    weights = [
        _weights(size, positions, sigma, padding)
        for size, sigma, (_, positions) in zip(volume.shape[1:], sigmas, by_axis, strict=True)
    ]
    needed = [_extent(matrix) for matrix in weights]
    result = volume[:, needed[0], needed[1], needed[2]].astype(np.float64)
    for axis, (matrix, columns) in enumerate(zip(weights, needed, strict=True), start=1):
        result = _along(result, matrix[:, columns], axis)
    onto = [along for along, _ in by_axis]
    turned = result.transpose(0, *(1 + onto.index(axis) for axis in range(3)))
    read: Float32[np.ndarray, "c i j k"] = np.ascontiguousarray(turned, dtype=np.float32)
    return read


def _weights(
    size: int, positions: axes.Places, sigma: float, padding: smoothing.Padding
) -> Float64[np.ndarray, "n {size}"]:
    """Weight of each voxel of a line at each position, for smoothing and linear interpolation."""
    if padding == "border":
        positions = positions.clip(0, size - 1)
    weights = (1 - np.abs(positions[:, None] - np.arange(size))).clip(min=0)
    return weights if sigma == 0 else weights @ smoothing.matrix(size, sigma, padding)


def _extent(weights: Float64[np.ndarray, "n size"]) -> slice:
    """The range of columns that are not zero; the first column if all are zero."""
    used = np.flatnonzero(weights.any(axis=0))
    return slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 1)


def _along(
    volume: Float64[np.ndarray, "c x y z"], weights: Float64[np.ndarray, "n size"], axis: int
) -> Float64[np.ndarray, "c i j k"]:
    parts = []
    for first in range(0, len(weights), ROWS):
        rows = weights[first : first + ROWS]
        needed = _extent(rows)
        part = volume[(slice(None),) * axis + (needed,)]
        parts.append(_product(rows[:, needed], part, axis))
    return np.concatenate(parts, axis=axis)


def _product(
    weights: Float64[np.ndarray, "n size"], volume: Float64[np.ndarray, "c x y z"], axis: int
) -> Float64[np.ndarray, "c i j k"]:
    product: Float64[np.ndarray, "c i j k"]
    if axis == volume.ndim - 1:
        product = volume @ weights.T
        return product
    lines = volume.reshape(*volume.shape[: axis + 1], -1)
    shape = (*volume.shape[:axis], len(weights), *volume.shape[axis + 1 :])
    product = (weights @ lines).reshape(shape)
    return product
