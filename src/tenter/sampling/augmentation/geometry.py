"""Geometric augmentation: all maps of a side, combined into one displacement field."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from tenter.sampling import transfer
from tenter.sampling.augmentation.recipe import Change
from tenter.spatial import affine, bspline, constants, slices
from tenter.tensors import Affine, Field


def displacement(change: Change, shape: Sequence[int], device: torch.device) -> Field | None:
    """The displacement of p -> corners(pose(p + d(p))); d by cubic B-splines.

    Args:
        change: of one side.
        shape: voxels of the grid.
        device: device of the field.

    Returns:
        `[b, 3, *shape]` float32, voxels; None if nothing is deformed.
    """
    maps = _maps(change, slices.normal(shape))
    placed = None if maps is None else transfer.uploaded(maps, device, torch.float32)
    straight = None if placed is None else affine.displacement(placed, shape)
    if change.controls is None:
        return straight
    controls = transfer.uploaded(change.controls.values, device, torch.float32)
    bent = bspline.spline(controls, change.controls.spacing, shape)
    if placed is None or straight is None:
        return bent
    # An affine map A takes p + d(p) to A(p) + L d(p), where L is its linear part.
    turned = _linear(placed, shape) @ bent.flatten(2)
    return straight + turned.reshape(bent.shape)


def _maps(change: Change, normal: int | None) -> Affine | None:
    corners = (
        None if change.corners is None else affine.corner_affine(torch.from_numpy(change.corners))
    )
    if corners is not None and normal is not None:
        axes = [axis for axis in range(4) if axis != normal]
        padded = torch.eye(4, dtype=corners.dtype).repeat(len(corners), 1, 1)
        padded[:, torch.tensor(axes)[:, None], axes] = corners
        corners = padded
    if change.pose is None:
        return corners
    pose = torch.from_numpy(change.pose)
    return pose if corners is None else corners @ pose


def _linear(maps: Affine, shape: Sequence[int]) -> Float[Tensor, "b 3 3"]:
    """The linear part, in voxels, of maps in normalised coordinates."""
    half = constants.numbers([max(size - 1, 1) / 2 for size in shape], maps)
    return half[:, None] * maps[:, :3, :3] / half
