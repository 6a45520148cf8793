"""Test-time augmentation: a pair registered under several affine poses, predictions averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tenter.config import Poses
from tenter.sampling.augmentation.random_streams import Source, Stream
from tenter.sampling.augmentation.recipe import poses
from tenter.shapes import Matrix
from tenter.spatial import grids, warp
from tenter.tensors import Field, Image

Network = Callable[[Tensor, Tensor], Field]
"""Moving and fixed image, `[b, c, *space]`, to the field in voxels."""

SOURCE = Source(seed=0, fold=0)
"""The source of all draws: every pair, fold and seed gets the same poses."""


def averaged(
    network: Network,
    moving: Float[Tensor, "1 m *space"],
    fixed: Float[Tensor, "1 f *space"],
    settings: Poses,
    spacing_mm: Sequence[float],
) -> Field:
    """Mean of a network's predictions for a pair as it is and under drawn poses.

    Args:
        network: evaluated once per pose.
        moving: `[1, c, x, y, z]`.
        fixed: likewise, on the same grid.
        settings: how many poses, and their bounds.
        spacing_mm: voxel size of the grid.

    Returns:
        The displacement, `[1, 3, x, y, z]` float32, voxels.
    """
    total = network(moving, fixed).float()
    for of_moving, of_fixed in drawn(settings, fixed.shape[2:], spacing_mm):
        total = total + answer(network, moving, fixed, (of_moving, of_fixed))
    return total / (settings.count + 1)


def drawn(
    settings: Poses, shape: Sequence[int], spacing_mm: Sequence[float]
) -> list[tuple[Matrix, Matrix]]:
    """The poses of the moving and of the fixed image, voxels to voxels; equal for equal arguments.

    Args:
        settings: how many, and their bounds; a larger number extends the same sequence.
        shape: voxels of the grid.
        spacing_mm: voxel size of the grid.
    """
    sides = []
    for side in range(2):
        chances = SOURCE.uniform((settings.count, 12), Stream.TEST_POSES, side)
        sides.append(_in_voxels(poses(chances, settings, shape, spacing_mm), shape))
    return list(zip(*sides, strict=True))


def answer(
    network: Network,
    moving: Float[Tensor, "1 m *space"],
    fixed: Float[Tensor, "1 f *space"],
    placed: tuple[Matrix, Matrix],
) -> Field:
    """The prediction for a pair under poses, transformed back to the pair itself.

    With m'(y') = m(M y') and f'(x') = f(F x'), the network's map x' -> y' corresponds to the map
    x -> M (y' of F^-1 x). Both matrices act exactly; the network's displacement is interpolated
    linearly, and its border is continued outwards.

    Args:
        network: predicts the field.
        moving: m, `[1, c, x, y, z]`; its border is continued outwards where a pose needs it.
        fixed: f, likewise.
        placed: M and F, voxels to voxels.

    Returns:
        The displacement, `[1, 3, x, y, z]` float32, voxels.
    """
    shape = fixed.shape[2:]
    to_moving, back = placed[0], np.linalg.inv(placed[1])
    posed_images = (
        warp.sample(moving, _mapped_voxels(to_moving, moving)),
        warp.sample(fixed, _mapped_voxels(placed[1], fixed)),
    )
    moves = network(*posed_images).float()
    linear = torch.as_tensor(to_moving[:3, :3], dtype=moves.dtype, device=moves.device)
    rotated = torch.einsum(
        "rc,bcxyz->brxyz", linear, warp.sample(moves, _mapped_voxels(back, moves))
    )
    return grids.mapped(_rows(to_moving @ back - np.eye(4), moves), shape) + rotated


def _in_voxels(maps: Float[np.ndarray, "n 4 4"], shape: Sequence[int]) -> list[Matrix]:
    """Maps of normalised coordinates (-1 and 1: the outermost voxel centres) as maps of voxels."""
    half = np.maximum(np.array(shape) - 1, 1) / 2
    to_voxels = np.diag([*half, 1.0])
    to_voxels[:3, 3] = (np.array(shape) - 1) / 2
    return list(to_voxels @ maps @ np.linalg.inv(to_voxels))


def _mapped_voxels(matrix: Matrix, like: Image) -> Float[Tensor, "1 3 x y z"]:
    """The images of a grid's voxels under a matrix."""
    return grids.mapped(_rows(matrix, like), like.shape[2:])


def _rows(matrix: Matrix, like: Image) -> Float[Tensor, "1 3 4"]:
    return torch.as_tensor(matrix[:3], dtype=like.dtype, device=like.device)[None]
