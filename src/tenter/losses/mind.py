"""Modality independent neighbourhood descriptors of images (MIND-SSC), and their difference."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from tenter.losses import masked
from tenter.shapes import Image, PerSample
from tenter.spatial import smooth

BOUNDS = (1e-3, 1e3)
"""Least and largest local variance, as shares of the image's mean one."""

TINY = 1e-12


def mind(
    warped: Image, fixed: Image, inside: Bool[Tensor, "b 1 *space"], *, radius: int = 1, distance: int = 2
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
    one, other = (descriptors(image, radius, distance) for image in (warped, fixed))
    return masked.mean((one - other).square(), inside)


def descriptors(image: Image, radius: int, distance: int) -> Float[Tensor, "b cp *space"]:
    """For each voxel and pair of patches around it: exp(-(D - min D) / V).

    D is the mean squared difference of the two patches; pairs are the neighbours along the axes
    that do not lie opposite each other (12 in three dimensions, 4 in two); V is the mean of
    D - min D over pairs, kept between 0.001 and 1000 times its mean over the image. The image
    continues beyond its border as at it.

    Args:
        image: `[b, c, *space]`.
        radius: as of `mind`.
        distance: as of `mind`.

    Returns:
        `[b, c * pairs, *space]` in [0, 1].
    """
    apart = torch.stack(_patch_distances(image, radius, distance), dim=2)
    apart = apart - apart.amin(dim=2, keepdim=True)
    variance = apart.mean(dim=2, keepdim=True)
    usual = variance.flatten(2).mean(dim=2).reshape(*image.shape[:2], *[1] * (apart.ndim - 2)) + TINY
    variance = variance.clamp(min=BOUNDS[0] * usual, max=BOUNDS[1] * usual)
    return (-apart / variance).exp().flatten(1, 2)


def _patch_distances(image: Image, radius: int, distance: int) -> list[Image]:
    """The mean squared difference of each pair of patches.

    Pairs whose patches lie as far apart, such as at (x, +y) and (-y, -x), are one map read at two
    places, so that half as many are smoothed.
    """
    dimensions = image.ndim - 2
    wide = functional.pad(image, (radius + 2 * distance,) * (2 * dimensions), mode="replicate")
    found = []
    for first, second in itertools.combinations(range(dimensions), 2):
        for sign in (-1, 1):
            step = _step(dimensions, {first: sign * distance, second: distance})
            apart = (
                _shifted(wide, _step(dimensions, {}), distance) - _shifted(wide, step, distance)
            ).square()
            near = smooth.smooth(apart, (float(radius),) * dimensions, "box")
            # From the patch on the first axis to that on the second, and the other way about.
            starts = ({first: -sign * distance}, {second: -distance})
            found += [_shifted(near, _step(dimensions, start), radius + distance) for start in starts]
    return found


def _step(dimensions: int, along: Mapping[int, int]) -> tuple[int, ...]:
    return tuple(along.get(axis, 0) for axis in range(dimensions))


def _shifted(wide: Tensor, step: Sequence[int], margin: int) -> Tensor:
    """The image without a margin, read a step further on."""
    spans = (
        slice(margin + shift, size - margin + shift) for shift, size in zip(step, wide.shape[2:], strict=True)
    )
    return wide[(slice(None), slice(None), *spans)]
