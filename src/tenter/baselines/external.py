"""A transform that another program computed, from a file.

A file's map is `linear · grid · (p + u(p))`. Here it becomes the alignment of the study, which is
what registration is compared with, after a field that undoes the alignment. This is exact: at the
voxels of the file's own grid, and between them, since linear maps and linear interpolation commute.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tenter.cases.case_files import Grid, PreparedImages
from tenter.config import External
from tenter.config.baselines import of_pair
from tenter.formats import transforms
from tenter.records import ImagePair
from tenter.shapes import Matrix
from tenter.spatial import geometry, grids
from tenter.spatial.transform import Transform

MARGIN = 0.5
"""Extent of a linear map's grid beyond the images' own, relative to their size, on each side."""


def register(pair: ImagePair, images: PreparedImages, settings: External) -> Transform:
    """The map in the pair's file, with the study's alignment.

    Beyond the fixed image and the case grid it may become the alignment alone.

    Raises:
        DataError: the file is missing, damaged, or another kind of transform.
    """
    stored = transforms.read_transform(of_pair(settings.transform, pair.id))
    change = np.linalg.inv(images.alignment) @ stored.alignment
    if np.allclose(change, np.eye(4), rtol=0, atol=1e-12):
        return Transform(images.alignment, stored.field, stored.affine)
    stored = _covering(stored, images) if bool(stored.field.any()) else _coarse(stored, images)
    field = _combined(stored, change)
    return Transform(images.alignment, field, stored.affine)


def _combined(stored: Transform, change: Matrix) -> Float[Tensor, "1 3 x y z"]:
    """The field on the same grid that maps as the stored field and then `change` do.

    Args:
        stored: a field and its grid.
        change: RAS mm to RAS mm, applied after the field.
    """
    inner = np.linalg.inv(stored.affine) @ change @ stored.affine
    field = stored.field.double()
    rotated = torch.einsum("rc,bcxyz->brxyz", torch.from_numpy(inner[:3, :3]), field)
    offset = torch.from_numpy((inner - np.eye(4))[None, :3])
    return (rotated + grids.mapped(offset, field.shape[2:])).float()


def _covering(stored: Transform, images: PreparedImages) -> Transform:
    """The same map on a grid that is enlarged by whole voxels to cover the images."""
    corners = _corners_mm(images)
    voxels = geometry.apply(np.linalg.inv(stored.affine), corners)
    sizes = np.array(stored.field.shape[2:])
    before = np.maximum(0, np.ceil(-voxels.min(axis=0))).astype(int)
    after = np.maximum(0, np.ceil(voxels.max(axis=0) - (sizes - 1))).astype(int)
    padding = [int(count) for axis in (2, 1, 0) for count in (before[axis], after[axis])]
    field = torch.nn.functional.pad(stored.field, padding)
    affine = stored.affine @ geometry.translation(-before.astype(float))
    return Transform(stored.alignment, field, affine)


def _coarse(stored: Transform, images: PreparedImages) -> Transform:
    """A linear map on a grid of two voxels along each axis, which represent it exactly."""
    axes = images.affine[:3, :3] / geometry.spacing_mm(images.affine)
    positions = _corners_mm(images) @ axes
    low, high = positions.min(axis=0), positions.max(axis=0)
    extent = np.maximum(high - low, 1.0)
    affine = np.eye(4)
    affine[:3, :3] = axes * (1 + 2 * MARGIN) * extent
    affine[:3, 3] = axes @ (low - MARGIN * extent)
    return Transform(stored.alignment, torch.zeros(1, 3, 2, 2, 2), affine)


def _corners_mm(images: PreparedImages) -> Float[np.ndarray, "n 3"]:
    """The corners of the fixed image and of the case grid, edges of voxels included, RAS mm."""
    case = Grid(images.fixed.shape[1:], images.affine)
    return np.concatenate([_corners(grid) for grid in (case, images.fixed_source)])


def _corners(grid: Grid) -> Float[np.ndarray, "8 3"]:
    edges = [(-0.5, size - 0.5) for size in grid.shape]
    return geometry.apply(grid.affine, np.array(list(itertools.product(*edges))))
