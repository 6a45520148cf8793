"""Uniform cubic B-splines over a lattice of control points that is centred on the grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from tenter.spatial import constants
from tenter.tensors import Image


def lattice(shape: Sequence[int], spacing: Sequence[float]) -> tuple[int, ...]:
    """Number of control points along each axis that a spline needs to cover a grid.

    Args:
        shape: voxels along each axis.
        spacing: distance of control points along each axis, voxels.

    Returns:
        an odd number for each axis: one point lies at the grid's centre, two beyond either end.
    """
    return tuple(
        2 * (math.floor((size - 1) / 2 / step) + 2) + 1
        for size, step in zip(shape, spacing, strict=True)
    )


@constants.Kept
def weights(
    size: int, spacing: float, *, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "n k"]:
    """Weights of a line's control points at each of its voxels; each voxel's weights sum to 1.

    Args:
        size: voxels of the line.
        spacing: distance of control points, voxels.
        dtype: of the result.
        device: of the result.

    Returns:
        `[size, k]` with k from `lattice`; cached, so it must not be modified.
    """
    (count,) = lattice((size,), (spacing,))
    voxels = torch.arange(size, dtype=torch.float64, device=device) - (size - 1) / 2
    controls = torch.arange(count, dtype=torch.float64, device=device) - (count - 1) / 2
    distance = (voxels[:, None] / spacing - controls).abs()
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clamp(min=0) ** 3 / 6
    return torch.where(distance < 1, near, far).to(dtype)


def spline(
    controls: Float[Tensor, "b c *lattice"], spacing: Sequence[float], shape: Sequence[int]
) -> Image:
    """The uniform cubic B-spline of control values, at each voxel of a grid; differentiable.

    It stays between the smallest and the largest control value, and control values that are
    linear in position give the same linear function.

    Args:
        controls: `[b, c, *lattice(shape, spacing)]`.
        spacing: distance of control points along each axis, voxels.
        shape: voxels along each axis.

    Returns:
        `[b, c, *shape]`.
    """
    values: Tensor = controls
    # From the last axis to the first: the largest product contracts the shortest remaining axis.
    for axis in reversed(range(len(shape))):
        matrix = weights.beside(controls)(
            shape[axis], float(spacing[axis]), dtype=controls.dtype, device=controls.device
        )
        values = torch.tensordot(values, matrix, dims=([2 + axis], [1])).movedim(-1, 2 + axis)
    return values.contiguous()
