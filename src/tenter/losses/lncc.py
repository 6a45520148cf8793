"""Local normalised cross-correlation of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from tenter.losses import masked
from tenter.spatial import smooth
from tenter.tensors import Image, PerSample

EPSILON = 1e-5
"""Variance of a window, as a share of the image's, below which it counts as constant."""

NARROWEST = 3.0
"""Voxels of a window along each axis, at least."""


def lncc(
    warped: Image,
    fixed: Image,
    inside: Bool[Tensor, "b 1 *space"],
    *,
    window: Sequence[float],
    kernel: Literal["box", "gaussian"] = "box",
    signed: bool = False,
) -> PerSample:
    """1 - mean of r^2, with Pearson's correlation r in the window around each voxel.

    Cachier and Pennec (MMBIA 2000), Avants et al. (Medical Image Analysis 12, 2008). Voxels
    outside the mask enter no window and have no window themselves. In a constant window r is 0.

    Args:
        warped: `[b, c, *space]`.
        fixed: likewise.
        inside: where the two overlap.
        window: its width along each axis in voxels, raised to at least 3.
        kernel: `box`, to the nearest odd number of voxels, or `gaussian` of the box's variance.
        signed: 1 - mean of r instead, in [0, 2].
    """
    # Standardised, so that the differences of sums below lose few digits.
    standard_warped, standard_fixed = (
        masked.standardised(warped, inside),
        masked.standardised(fixed, inside),
    )
    maps = [
        standard_warped,
        standard_fixed,
        standard_warped.square(),
        standard_fixed.square(),
        standard_warped * standard_fixed,
    ]
    widths = [_sigma(max(width, NARROWEST), kernel) for width in window]
    windowed = smooth.smooth(torch.cat([inside.to(warped.dtype), *maps], dim=1), widths, kernel)
    share = windowed[:, :1].clamp(min=EPSILON)
    first, second, first_square, second_square, product = (windowed[:, 1:] / share).chunk(5, dim=1)
    first_variance = (first_square - first.square()).clamp(min=0) + EPSILON
    second_variance = (second_square - second.square()).clamp(min=0) + EPSILON
    covariance = product - first * second
    if signed:
        return 1 - masked.mean(covariance / (first_variance * second_variance).sqrt(), inside)
    return 1 - masked.mean(covariance.square() / (first_variance * second_variance), inside)


def _sigma(width: float, kernel: Literal["box", "gaussian"]) -> float:
    """The width as the kernel takes it."""
    return float(round((width - 1) / 2)) if kernel == "box" else width / math.sqrt(12)
