"""Resample a volume onto a grid: smoothed if the grid is coarser, then interpolated linearly."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from tenter.shapes import Matrix
from tenter.spatial import grids, lines, slices, smooth, warp

FWHM = 2 * math.sqrt(2 * math.log(2))
"""Full width of a Gaussian at half its height, in standard deviations."""


SLAB_VOXELS = 2**16
"""Voxels of a grid that are computed at a time, so that intermediate arrays fit in CPU caches."""

Shape = tuple[int, int, int]
Sigmas = tuple[float, float, float]


def prefilter_sigmas(to_volume: Matrix) -> tuple[float, float, float]:
    """Widths of the Gaussian by which a volume is smoothed before it is read on a coarser grid.

    A voxel is modelled as a Gaussian whose full width at half maximum is the voxel size. The
    filter that turns the volume's Gaussian into the grid's has the difference of their variances
    (Cardoso et al., Scale Factor Point Spread Function Matching, MICCAI 2015).

    Args:
        to_volume: voxel of the grid to voxel of the volume.

    Returns:
        Standard deviation along each axis of the volume, in its voxels; 0 where the grid is not
        coarser.
    """
    steps = np.linalg.norm(to_volume[:3, :3], axis=1)
    x, y, z = (math.sqrt(max(float(step) ** 2 - 1, 0.0)) / FWHM for step in steps)
    return x, y, z


def on_grid(
    volume: Float32[np.ndarray, "c x y z"],
    to_volume: Matrix,
    shape: tuple[int, int, int],
    *,
    padding: warp.Padding,
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
    x, y, z = (0.0 if axis == normal else s for axis, s in enumerate(prefilter_sigmas(to_volume)))
    channels = torch.from_numpy(np.ascontiguousarray(volume))
    with torch.inference_mode():
        if lines.are_apart(to_volume, shape):
            return line_by_line(channels, to_volume, shape, (x, y, z), padding).numpy()
        return point_by_point(channels, to_volume, shape, (x, y, z), padding).numpy()


def point_by_point(
    volume: Tensor, to_volume: Matrix, shape: Shape, sigmas: Sigmas, padding: warp.Padding
) -> Tensor:
    """Resample onto any grid: smooth, then interpolate between eight neighbours of each position.

    Computed in float64, so that the image's storage type does not change the last digits.
    Arguments as for `on_grid`; `sigmas` are the widths of the Gaussian along each axis of the
    volume, in its voxels.
    """
    smoothed = _smoothed(volume[None], sigmas, padding).double()
    result = torch.empty((len(volume), *shape))
    matrix = torch.from_numpy(to_volume[None, :3])
    thickness = max(1, SLAB_VOXELS // (shape[1] * shape[2]))
    for first in range(0, shape[0], thickness):
        slab = result[:, first : first + thickness]
        start = torch.cat([matrix[..., :3], matrix[..., 3:] + first * matrix[..., :1]], dim=-1)
        positions = grids.mapped(start, slab.shape[1:])
        slab.copy_(warp.sample(smoothed, positions, padding=padding)[0])
    return result


def line_by_line(
    volume: Tensor, to_volume: Matrix, shape: Shape, sigmas: Sigmas, padding: warp.Padding
) -> Tensor:
    """As `point_by_point` for separable axes, but faster.

    Smoothing and interpolation are one matrix per axis.
    """
    by_axis = lines.places(to_volume, shape)
    weights = [
        _weights(size, positions, sigma, padding)
        for size, sigma, (_, positions) in zip(volume.shape[1:], sigmas, by_axis, strict=True)
    ]
    return lines.read(volume.double(), weights, [axis for axis, _ in by_axis]).float().contiguous()


def _weights(size: int, positions: np.ndarray, sigma: float, padding: warp.Padding) -> Tensor:
    """Weight of each voxel of a line at each position, for smoothing and linear interpolation."""
    if padding == "border":
        positions = positions.clip(0, size - 1)
    weights = lines.linear(size, positions)
    if sigma == 0:
        return weights
    line = torch.eye(size, dtype=torch.float64)[None, None, :, :, None]
    return weights @ _smoothed(line, (sigma, 0.0, 0.0), padding)[0, 0, :, :, 0]


def _smoothed(volume: Tensor, sigmas: Sigmas, padding: warp.Padding) -> Tensor:
    if padding == "zeros" or not any(sigmas):
        return smooth.smooth(volume, sigmas)
    for axis, sigma in enumerate(sigmas, start=2):
        if sigma:
            weights = _continued(volume.shape[axis], sigma).to(volume.dtype)
            volume = (volume.movedim(axis, -1) @ weights.mT).movedim(-1, axis)
    return volume


def _continued(size: int, sigma: float) -> Tensor:
    """The matrix that smooths a line whose end values are repeated; needs no margin.

    Returns:
        `[size, size]`, float64.
    """
    weights = smooth.kernel(sigma)
    tail = len(weights) // 2
    index = torch.arange(size)
    one_sided = torch.cat([weights[tail:], weights.new_zeros(1)])
    matrix = one_sided[(index[:, None] - index).abs().clamp(max=tail + 1)]
    # Weights beyond an end are added to the weight of the end voxel.
    beyond = one_sided.flip(0).cumsum(0).flip(0)
    matrix[:, 0] = beyond[index.clamp(max=tail + 1)]
    matrix[:, -1] = beyond[index.flip(0).clamp(max=tail + 1)]
    return matrix if size > 1 else torch.ones(1, 1, dtype=torch.float64)
