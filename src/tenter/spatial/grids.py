"""Coordinates of a grid's voxels, and of their images under an affine map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def identity(
    shape: Sequence[int], *, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "1 d *space"]:
    """Each voxel's own coordinates, in voxels.

    Args:
        shape: voxels along each axis.
        dtype: of the result.
        device: of the result.

    Returns:
        `[1, d, *shape]`; component k counts along axis k, from 0.
    """
    axes = [torch.arange(size, dtype=dtype, device=device) for size in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).unsqueeze(0)


def mapped(matrix: Float[Tensor, "b r c"], shape: Sequence[int]) -> Float[Tensor, "b r *space"]:
    """Where an affine map takes each voxel of a grid, without building the grid.

    An affine map is a sum of functions of one coordinate each, so that all but the last
    sum run on arrays smaller than the volume.

    Args:
        matrix: `[b, r, d + 1]`, the first r rows of a homogeneous matrix on voxel coordinates.
        shape: voxels along each of the d axes.

    Returns:
        `[b, r, *shape]`, in the matrix's dtype and on its device.
    """
    dimensions = len(shape)
    ones = (1,) * dimensions
    result = matrix[..., dimensions].reshape(*matrix.shape[:2], *ones)
    for axis in reversed(range(dimensions)):
        index = torch.arange(shape[axis], dtype=matrix.dtype, device=matrix.device)
        line = (matrix[..., axis, None] * index).reshape(
            *matrix.shape[:2], *ones[:axis], shape[axis], *ones[axis + 1 :]
        )
        result = result + line
    return result
