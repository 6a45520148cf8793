"""Affine maps in a grid's own normalised coordinates: -1 and 1 are its outermost voxel centres."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from tenter.spatial import constants, grids
from tenter.tensors import Affine, Field


def corner_affine(moves: Float[Tensor, "b k d"]) -> Affine:
    """The affine map that moves d + 1 corners of the cube [-1, 1]^d inwards.

    The parametrisation of label-reg's augmentation (Hu et al., 2018), applied about the
    centre of the grid. The corners are (-1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, -1, -1).

    Args:
        moves: `[b, d + 1, d]`, how far each corner moves inwards along each axis, in half-widths.

    Returns:
        `[b, d + 1, d + 1]` homogeneous; maps each corner to its moved position.
    """
    batch, _, dimensions = moves.shape
    first = moves.new_full((1, dimensions), -1.0)
    flips = 1 - 2 * torch.eye(dimensions, dtype=moves.dtype, device=moves.device).flip(0)
    corners = torch.cat([first, first * flips])
    targets = corners * (1 - moves)
    # Corner 1 + j differs from corner 0 only in axis d - 1 - j, by 2.
    columns = ((targets[:, 1:] - targets[:, :1]) / 2).flip(1).transpose(1, 2)
    shift = targets[:, 0] + columns.sum(dim=2)
    result = torch.eye(dimensions + 1, dtype=moves.dtype, device=moves.device).repeat(batch, 1, 1)
    result[:, :dimensions, :dimensions] = columns
    result[:, :dimensions, dimensions] = shift
    return result


def displacement(affine: Affine, shape: Sequence[int]) -> Field:
    """The displacement field of an affine map about the grid's centre; differentiable.

    Args:
        affine: `[b, d + 1, d + 1]` homogeneous, in normalised coordinates.
        shape: voxels along each axis.

    Returns:
        `[b, d, *shape]` in voxels.
    """
    dimensions = len(shape)
    half = constants.numbers([max(size - 1, 1) / 2 for size in shape], affine)
    centre = constants.numbers([(size - 1) / 2 for size in shape], affine)
    change = affine[:, :dimensions, :dimensions] - torch.eye(
        dimensions, dtype=affine.dtype, device=affine.device
    )
    linear = half[:, None] * change / half
    shift = half * affine[:, :dimensions, dimensions] - linear @ centre
    return grids.mapped(torch.cat([linear, shift[..., None]], dim=2), shape)
