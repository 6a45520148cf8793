"""Intensity augmentation: random blur, bias, gamma, gain, offset and noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tenter.sampling import transfer
from tenter.sampling.augmentation.recipe import Change, Lattice
from tenter.spatial import bspline
from tenter.tensors import Image

_SHARP = 0.05
"""A standard deviation in voxels at which smoothing leaves float32 values unchanged."""

_CONSTANT = 1e-12
"""A range of values below which a channel counts as constant."""


def changed(image: Image, change: Change) -> Image:
    """Change an image's intensities; deterministic (noise: for a given version of torch).

    Args:
        image: `[b, c, *space]`, normalised.
        change: of its side.

    Returns:
        `[b, c, *space]`.
    """
    if change.blur is not None:
        image = blurred(image, _numbers(change.blur, image))
    if change.bias is not None:
        image = biased(image, change.bias)
    if change.gamma is not None:
        image = curved(image, _spread(change.gamma, image))
    if change.gain is not None:
        image = image * _spread(change.gain, image)
    if change.offset is not None:
        image = image + _spread(change.offset, image)
    if change.noise is not None:
        image = torch.addcmul(
            image, _spread(change.noise, image), _noise(image, change.noise_seeds)
        )
    return image


def _noise(image: Image, seeds: Sequence[int]) -> Image:
    """Normal numbers, drawn for each sample independently of the rest of the batch."""
    noise = torch.empty_like(image)
    for sample, seed in zip(noise, seeds, strict=True):
        sample.normal_(generator=torch.Generator(image.device).manual_seed(seed))
    return noise


def blurred(image: Image, sigma: Float[Tensor, "b c 3"]) -> Image:
    """Smooth each channel by its own Gaussian, renormalised at edges: a constant is unchanged.

    Args:
        image: `[b, c, x, y, z]`.
        sigma: standard deviation along each axis, voxels.
    """
    result: Tensor = image
    for axis in range(3):
        lines = result.movedim(2 + axis, 2).flatten(3)
        smoothed = _smoother(sigma[..., axis], image.shape[2 + axis]) @ lines
        result = smoothed.reshape(result.movedim(2 + axis, 2).shape).movedim(2, 2 + axis)
    return result


def _smoother(sigma: Float[Tensor, "b c"], size: int) -> Float[Tensor, "b c n n"]:
    index = torch.arange(size, dtype=sigma.dtype, device=sigma.device)
    distance = (index[:, None] - index) / sigma.clamp(min=_SHARP)[..., None, None]
    kernel = torch.exp(-(distance**2) / 2)
    return kernel / kernel.sum(-1, keepdim=True)


def biased(image: Image, bias: Lattice) -> Image:
    """Multiply by a smooth positive field, with each channel's darkest value as zero.

    Args:
        image: `[b, c, *space]`.
        bias: logarithm of the field, `[b, c, *lattice]`.
    """
    values = bspline.spline(_numbers(bias.values, image), bias.spacing, image.shape[2:])
    darkest = image.flatten(2).amin(2)[..., None, None, None]
    return torch.addcmul(darkest, image - darkest, values.exp_())


def curved(image: Image, gamma: Float[Tensor, "b c 1 1 1"]) -> Image:
    """Gamma-correct each channel between its darkest and brightest voxel.

    Order and extremes are preserved; a constant channel is unchanged.

    Args:
        image: `[b, c, *space]`.
        gamma: exponents.
    """
    darkest, brightest = (value[..., None, None, None] for value in image.flatten(2).aminmax(dim=2))
    width = (brightest - darkest).clamp(min=_CONSTANT)
    positions = ((image - darkest) / width).clamp_(0, 1)
    return torch.addcmul(darkest, width, positions.pow_(gamma))


def _numbers(values: Float[np.ndarray, "*any"], image: Image) -> Float[Tensor, "*any"]:
    return transfer.uploaded(values, image.device, image.dtype)


def _spread(values: Float[np.ndarray, "b c"], image: Image) -> Float[Tensor, "b c 1 1 1"]:
    return _numbers(values, image)[..., None, None, None]
