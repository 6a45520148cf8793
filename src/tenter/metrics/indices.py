"""The whole map in voxel indices, for programs that work on arrays without physical space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Shaped
from scipy import ndimage
from torch import Tensor

from tenter.metrics.regions import Grid, shifted
from tenter.shapes import Matrix
from tenter.spatial import grids
from tenter.spatial.transform import Transform

SLAB_VOXELS = 2**20
"""Voxels processed at a time; does not affect results."""

IndexField = Float[np.ndarray, "3 x y z"]
"""For each fixed voxel, the moving voxel it maps to minus its own index; float32, as in a file."""


def index_field(transform: Transform, fixed: Grid, moving: Matrix) -> IndexField:
    """Displacement in voxels between two grids: moving voxel of T(x) minus index of fixed voxel x.

    If both images lie on one grid, this is the usual displacement in voxels. Otherwise it is what
    a program needs that reads `moving[index + u]` from the arrays alone, and it is what
    `disp_<fixed>_<moving>.nii.gz` holds.

    Args:
        transform: fixed to moving.
        fixed: the grid to fill.
        moving: voxel -> RAS mm of the moving grid.

    Returns:
        Component k along array axis k.
    """
    precise = replace(transform, field=transform.field.to(dtype=torch.float64, device="cpu"))
    to_moving = np.linalg.inv(moving)
    linear = torch.from_numpy(np.ascontiguousarray(to_moving[:3, :3]))
    result = np.empty((3, *fixed.shape), dtype=np.float32)
    for start, stop in slabs(fixed.shape):
        affine = shifted(fixed.affine, (start, 0, 0))
        moves = precise.displacement_mm(affine, (stop - start, *fixed.shape[1:]))
        change = to_moving @ affine - np.eye(4)
        change[0, 3] -= start
        offset = grids.mapped(
            torch.from_numpy(np.ascontiguousarray(change[:3]))[None], moves.shape[1:]
        )[0]
        result[:, start:stop] = (torch.einsum("rc,cxyz->rxyz", linear, moves) + offset).numpy()
    return result


def nearest(image: Shaped[np.ndarray, "i j k"], field: IndexField) -> Shaped[np.ndarray, "x y z"]:
    """The image at the voxel nearest to `index + u`; 0 beyond its outermost voxel centres."""
    result = np.empty(field.shape[1:], dtype=image.dtype)
    for start, stop in slabs(field.shape[1:]):
        coordinates = _coordinates(field, start, stop)
        result[start:stop] = ndimage.map_coordinates(
            image, coordinates, order=0, mode="constant", cval=0
        )
    return result


def linear(image: Float[np.ndarray, "i j k"], field: IndexField) -> Float[np.ndarray, "x y z"]:
    """The image at `index + u`, interpolated linearly; edge values outside it; float64."""
    result = np.empty(field.shape[1:], dtype=np.float64)
    source = image.astype(np.float64)
    for start, stop in slabs(field.shape[1:]):
        coordinates = _coordinates(field, start, stop)
        result[start:stop] = ndimage.map_coordinates(source, coordinates, order=1, mode="nearest")
    return result


def slabs(shape: Sequence[int], overlap: int = 0) -> Iterator[tuple[int, int]]:
    """First and last plane (exclusive) of slabs along x that overlap by `overlap` planes."""
    inner = max(1, SLAB_VOXELS // max(1, shape[1] * shape[2]))
    for start in range(0, max(1, shape[0] - overlap), inner):
        yield start, min(start + inner + overlap, shape[0])


def _coordinates(field: IndexField, start: int, stop: int) -> Float[np.ndarray, "3 i j k"]:
    axes = [np.arange(start, stop), *(np.arange(size) for size in field.shape[2:])]
    indices = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float64)
    return np.asarray(indices + field[:, start:stop])


def tensor(field: IndexField) -> Float[Tensor, "1 3 x y z"]:
    """The field as a batch of one, in float64."""
    return torch.from_numpy(field)[None].to(torch.float64)
