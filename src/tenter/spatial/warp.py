"""Interpolation of images at arbitrary coordinates."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from tenter.spatial import constants, grids
from tenter.tensors import Field, Image

Mode = Literal["linear", "nearest"]
Padding = Literal["border", "zeros"]


def sample(
    image: Float[Tensor, "b c *inside"],
    coordinates: Float[Tensor, "b d *outside"],
    *,
    mode: Mode = "linear",
    padding: Padding = "border",
) -> Float[Tensor, "b c *outside"]:
    """Values of `image` at voxel coordinates, all channels in one pass; differentiable in both.

    Args:
        image: `[b, c, *in]`.
        coordinates: `[b, d, *out]` in voxels of the image, component k along axis k; finite.
        mode: `linear` in each axis, or the `nearest` voxel.
        padding: beyond the outermost voxel centres, `border` repeats the edge; `zeros` fades
            to 0 over one voxel and stays there.

    Returns:
        `[b, c, *out]`.
    """
    sizes = constants.numbers(image.shape[2:], coordinates)
    # With `align_corners=False`, -1 and 1 are the outer edges: exact also for an axis of one voxel.
    normalised = (coordinates.movedim(1, -1) * 2 + 1) / sizes - 1
    result: Tensor = functional.grid_sample(
        image,
        normalised.flip(-1),
        mode="bilinear" if mode == "linear" else "nearest",
        padding_mode=padding,
        align_corners=False,
    )
    return result


def warp(
    image: Image, field: Field, *, mode: Mode = "linear", padding: Padding = "border"
) -> Float[Tensor, "b c *space"]:
    """The image pulled back by a displacement field: result(p) = image(p + u(p)).

    Args:
        image: `[b, c, *space]`.
        field: `[b, d, *space]`, displacement in voxels on the same grid.
        mode: as in `sample`.
        padding: as in `sample`; `border` for images, `zeros` for labels.

    Returns:
        `[b, c, *space]`.
    """
    start = grids.identity(field.shape[2:], dtype=field.dtype, device=field.device)
    return sample(image, start + field, mode=mode, padding=padding)


def inside(field: Field) -> Bool[Tensor, "b 1 *space"]:
    """Which voxels a field maps into the grid, including the whole of its outermost voxels.

    Args:
        field: `[b, d, *space]`, displacement in voxels on the same grid.

    Returns:
        `[b, 1, *space]`, whether p + u(p) lies in [-0.5, n - 0.5] along each axis; no gradient.
    """
    points = (
        grids.identity(field.shape[2:], dtype=field.dtype, device=field.device) + field.detach()
    )
    within = [
        (coordinate >= -0.5) & (coordinate <= size - 0.5)
        for coordinate, size in zip(points.unbind(1), field.shape[2:], strict=True)
    ]
    return torch.stack(within, dim=1).all(dim=1, keepdim=True)
