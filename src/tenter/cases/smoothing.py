"""The Gaussian by which a volume is smoothed before it is read on a coarser grid, as a matrix."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from jaxtyping import Float64

from tenter.shapes import Matrix

Padding = Literal["border", "zeros"]

FWHM = 2 * math.sqrt(2 * math.log(2))
"""Full width of a Gaussian at half its height, in standard deviations."""

TAIL = 3
"""Cut-off of the Gaussian in standard deviations, as in `spatial.smooth`."""


def sigmas(to_volume: Matrix) -> tuple[float, float, float]:
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


def matrix(size: int, sigma: float, padding: Padding) -> Float64[np.ndarray, "{size} {size}"]:
    """The matrix that smooths a line; needs no margin.

    Args:
        size: voxels of the line.
        sigma: standard deviation of the Gaussian, in voxels.
        padding: values beyond the line: `border` repeats its ends, `zeros` is 0.
    """
    weights = _kernel(sigma)
    tail = len(weights) // 2
    index = np.arange(size)
    one_sided = np.append(weights[tail:], 0.0)
    distance = np.abs(index[:, None] - index)
    result: Float64[np.ndarray, "{size} {size}"] = one_sided[distance.clip(max=tail + 1)]
    if padding == "zeros":
        return result
    if size == 1:
        return np.ones((1, 1))
    # Weights beyond an end are added to the weight of the end voxel.
    beyond = one_sided[::-1].cumsum()[::-1]
    result[:, 0] = beyond[index.clip(max=tail + 1)]
    result[:, -1] = beyond[index[::-1].clip(max=tail + 1)]
    return result


def _kernel(sigma: float) -> Float64[np.ndarray, " k"]:
    tail = int(TAIL * sigma)
    weights = np.exp(-((np.arange(-tail, tail + 1) / sigma) ** 2) / 2) if tail else np.ones(1)
    result: Float64[np.ndarray, " k"] = weights / weights.sum()
    return result
