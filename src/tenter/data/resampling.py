"""Bringing a volume onto a grid: smoothed as the coarser grid asks, then read linearly between its voxels."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float32
from torch.nn import functional

from tenter.shapes import Matrix
from tenter.spatial import grids, slices, smooth, warp

FWHM = 2 * math.sqrt(2 * math.log(2))
"""Full width of a Gaussian at half its height, in standard deviations."""


def prefilter_sigmas(to_volume: Matrix) -> tuple[float, float, float]:
    """Widths of the Gaussian that a volume needs before it is read on a coarser grid.

    A voxel is taken for a Gaussian whose full width at half maximum is the voxel's size; what
    turns the volume's into the grid's has the difference of their variances (Cardoso et al.,
    Scale Factor Point Spread Function Matching, MICCAI 2015).

    Args:
        to_volume: voxel of the grid to voxel of the volume.

    Returns:
        Standard deviation along each axis of the volume, in its voxels; 0 where the grid is not coarser.
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
    """Read a volume at the voxels of a grid; a slice is not smoothed across.

    Args:
        volume: channels of one volume.
        to_volume: voxel of the grid to voxel of the volume.
        shape: voxels of the grid.
        padding: what lies beyond the volume: `border` continues its edge, `zeros` is nothing.

    Returns:
        `[c, *shape]`.
    """
    normal = slices.normal(volume.shape[1:])
    x, y, z = (0.0 if axis == normal else s for axis, s in enumerate(prefilter_sigmas(to_volume)))
    sigmas = x, y, z
    places = grids.mapped(torch.from_numpy(to_volume[None, :3]), shape)
    read = []
    with torch.inference_mode():
        for channel in torch.from_numpy(np.ascontiguousarray(volume)):
            smoothed = _smoothed(channel[None, None], sigmas, padding)
            # In float64, so that the way an image is stored cannot show in the last digits.
            read.append(warp.sample(smoothed.double(), places, padding=padding)[0, 0].float())
        return torch.stack(read).numpy()


def _smoothed(
    volume: torch.Tensor, sigmas: tuple[float, float, float], padding: warp.Padding
) -> torch.Tensor:
    if padding == "zeros":
        return smooth.smooth(volume, sigmas)
    margins = [int(3 * sigma) for sigma in sigmas]
    wide = functional.pad(
        volume, [m for margin in reversed(margins) for m in (margin, margin)], mode="replicate"
    )
    wide = smooth.smooth(wide, sigmas)
    x, y, z = (slice(m, size - m) for m, size in zip(margins, wide.shape[2:], strict=True))
    return wide[:, :, x, y, z]
