"""Images inside a mask: means, and standardised intensities."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from tenter.tensors import Image, PerSample

TINY = 1e-12
"""Variance below which an image is constant."""


def mean(values: Image, inside: Bool[Tensor, "b 1 *space"]) -> PerSample:
    """Mean over the voxels inside and over channels; 0 where nothing is inside."""
    count = inside.flatten(1).sum(dim=1).clamp(min=1) * values.shape[1]
    return (values * inside).flatten(1).sum(dim=1) / count


def standardised(image: Image, inside: Bool[Tensor, "b 1 *space"]) -> Image:
    """Each channel with mean 0 and variance 1 over the voxels inside; 0 outside.

    A constant channel becomes 0.
    """
    count = inside.flatten(2).sum(dim=2).clamp(min=1)

    def average(values: Image) -> Float[Tensor, "b c *ones"]:
        total = (values * inside).flatten(2).sum(dim=2) / count
        return total.reshape(*total.shape, *[1] * (values.ndim - 2))

    centred = (image - average(image)) * inside
    # Centred twice, because the first mean of a bright image is rounded.
    centred = (centred - average(centred)) * inside
    return centred / (average(centred.square()) + TINY).sqrt()
