"""Resampling onto a grid at an angle to the volume: smoothed, then interpolated, by torch."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from tenter.cases import smoothing
from tenter.shapes import Matrix
from tenter.spatial import grids, smooth, warp

SLAB_VOXELS = 2**16
"""Voxels of a grid that are computed at a time, so that intermediate arrays fit in CPU caches."""


def read(
    volume: Float32[np.ndarray, "c x y z"],
    to_volume: Matrix,
    shape: tuple[int, int, int],
    sigmas: tuple[float, float, float],
    padding: smoothing.Padding,
) -> Float32[np.ndarray, "c i j k"]:
    """Smooth, then interpolate between the eight neighbours of each position.

    Computed in float64, so that the image's storage type does not change the last digits.

    Args:
        volume: channels of one volume.
        to_volume: voxel of the grid to voxel of the volume.
        shape: voxels of the grid.
        sigmas: widths of the Gaussian along each axis of the volume, in its voxels.
        padding: values beyond the volume: `border` repeats its edge, `zeros` is 0.

    Returns:
        `[c, *shape]`.
    """
    with torch.inference_mode():
        image = torch.from_numpy(np.ascontiguousarray(volume))[None]
        smoothed = _smoothed(image, sigmas, padding).double()
        result = torch.empty((len(volume), *shape))
        matrix = torch.from_numpy(to_volume[None, :3])
        thickness = max(1, SLAB_VOXELS // (shape[1] * shape[2]))
        for first in range(0, shape[0], thickness):
            slab = result[:, first : first + thickness]
            start = torch.cat([matrix[..., :3], matrix[..., 3:] + first * matrix[..., :1]], dim=-1)
            positions = grids.mapped(start, slab.shape[1:])
            slab.copy_(warp.sample(smoothed, positions, padding=padding)[0])
        return result.numpy()


def _smoothed(
    volume: Tensor, sigmas: tuple[float, float, float], padding: smoothing.Padding
) -> Tensor:
    if padding == "zeros" or not any(sigmas):
        return smooth.smooth(volume, sigmas)
    for axis, sigma in enumerate(sigmas, start=2):
        if sigma:
            weights = torch.from_numpy(smoothing.matrix(volume.shape[axis], sigma, padding))
            weights = weights.to(volume.dtype)
            volume = (volume.movedim(axis, -1) @ weights.mT).movedim(-1, axis)
    return volume
