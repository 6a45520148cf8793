"""Modality independent neighbourhood descriptors of images (MIND-SSC), and their difference."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from tenter.losses import masked
from tenter.spatial import smooth
from tenter.tensors import Image, PerSample

BOUNDS = (1e-3, 1e3)
"""Bounds of the local variance, relative to its mean over the image."""

TINY = 1e-12


def mind(
    warped: Image,
    fixed: Image,
    inside: Bool[Tensor, "b 1 *space"],
    *,
    radius: int = 1,
    distance: int = 2,
) -> PerSample:
    """Mean squared difference of the images' self-similarity contexts over the voxels inside.

    Heinrich et al., Towards realtime multimodal fusion for image-guided interventions using
    self-similarities, MICCAI 2013.

    Args:
        warped: `[b, c, *space]`.
        fixed: likewise.
        inside: where the two overlap.
        radius: half-width of the patches, voxels.
        distance: from a voxel to the patches around it, voxels.
    """
    warped_descriptors, fixed_descriptors = (
        descriptors(image, radius, distance) for image in (warped, fixed)
    )
    return masked.mean((warped_descriptors - fixed_descriptors).square(), inside)


def descriptors(image: Image, radius: int, distance: int) -> Float[Tensor, "b cp *space"]:
    """For each voxel and pair of patches around it: exp(-(D - min D) / V).

    D is the mean squared difference of the two patches; pairs are the neighbours along the axes
    that do not lie opposite each other (12 in three dimensions, 4 in two); V is the mean of
    D - min D over pairs, kept between 0.001 and 1000 times its mean over the image. The image's
    border values are repeated outside it.

    Args:
        image: `[b, c, *space]`.
        radius: as of `mind`.
        distance: as of `mind`.

    Returns:
        `[b, c * pairs, *space]` in [0, 1].
    """
    distances = torch.stack(_patch_distances(image, radius, distance), dim=2)
    distances = distances - distances.amin(dim=2, keepdim=True)
    variance = distances.mean(dim=2, keepdim=True)
    mean_variance = (
        variance.flatten(2).mean(dim=2).reshape(*image.shape[:2], *[1] * (distances.ndim - 2))
        + TINY
    )
    variance = variance.clamp(min=BOUNDS[0] * mean_variance, max=BOUNDS[1] * mean_variance)
    return (-distances / variance).exp().flatten(1, 2)


def _patch_distances(image: Image, radius: int, distance: int) -> list[Image]:
    """The mean squared difference of each pair of patches.

    Pairs with the same offset between their patches, such as at (x, +y) and (-y, -x), are one map
    read at two positions, so that half as many are smoothed.
    """
    dimensions = image.ndim - 2
    padded = functional.pad(image, (radius + 2 * distance,) * (2 * dimensions), mode="replicate")
    maps = []
    for first, second in itertools.combinations(range(dimensions), 2):
        for sign in (-1, 1):
            step = _step(dimensions, {first: sign * distance, second: distance})
            squares = (
                _shifted(padded, _step(dimensions, {}), distance) - _shifted(padded, step, distance)
            ).square()
            smoothed = smooth.smooth(squares, (float(radius),) * dimensions, "box")
            # From the patch on the first axis to that on the second, and the reverse.
            starts = ({first: -sign * distance}, {second: -distance})
            maps += [
                _shifted(smoothed, _step(dimensions, start), radius + distance) for start in starts
            ]
    return maps


def _step(dimensions: int, along: Mapping[int, int]) -> tuple[int, ...]:
    return tuple(along.get(axis, 0) for axis in range(dimensions))


def _shifted(padded: Tensor, step: Sequence[int], margin: int) -> Tensor:
    """The image without a margin, shifted by a step."""
    spans = (
        slice(margin + shift, size - margin + shift)
        for shift, size in zip(step, padded.shape[2:], strict=True)
    )
    return padded[(slice(None), slice(None), *spans)]
