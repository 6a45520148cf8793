"""Three slices through a registered pair, sampled from the original images at their resolution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from tenter.formats.volumes import Volume
from tenter.reporting.panels import FINEST, Scene
from tenter.reporting.planes import planes
from tenter.shapes import Matrix
from tenter.spatial import geometry, pull
from tenter.spatial.transform import Transform


def cuts(transform: Transform, moving: Volume, fixed: Volume) -> tuple[Scene, ...]:
    """One scene for each plane of the case grid, through its centre.

    Args:
        transform: fixed point to moving point; its grid defines the slices.
        moving: the original; its first channel is shown.
        fixed: the original, likewise.
    """
    return tuple(
        _cut(transform, moving, fixed, plane.normal) for plane in planes(transform.field.shape[2:])
    )


def _cut(transform: Transform, moving: Volume, fixed: Volume, normal: int) -> Scene:
    affine, shape = _slice(transform, normal, min(geometry.spacing_mm(fixed.affine)))
    zero = torch.zeros((3, *shape), dtype=transform.field.dtype)
    aligned = pull.displacement(transform.without_field(), affine, shape)
    moved = pull.displacement(transform, affine, shape)
    no_labels = np.zeros((0, *shape))
    return Scene(
        fixed=_read(fixed, zero, affine),
        moving=_read(moving, aligned, affine),
        warped=_read(moving, moved, affine),
        field=_voxels(transform, affine, shape),
        spacing_mm=geometry.spacing_mm(affine),
        fixed_labels=no_labels,
        moving_labels=no_labels,
        warped_labels=no_labels,
    )


def _slice(
    transform: Transform, normal: int, step_mm: float
) -> tuple[Matrix, tuple[int, int, int]]:
    """One layer of the case grid, its voxels subdivided to a size of about `step_mm`."""
    sizes = np.array(transform.field.shape[2:])
    splits = np.round(np.array(geometry.spacing_mm(transform.affine)) / step_mm).astype(int)
    parts = np.maximum(1, np.minimum(splits, FINEST // sizes))
    parts[normal] = 1
    start = 0.5 / parts - 0.5
    start[normal] = sizes[normal] // 2
    affine = transform.affine.copy()
    affine[:3, 3] = geometry.apply(transform.affine, start[None])[0]
    affine[:3, :3] /= parts
    shape = sizes * parts
    shape[normal] = 1
    x, y, z = (int(size) for size in shape)
    return affine, (x, y, z)


def _read(image: Volume, displacement_mm: Tensor, affine: Matrix) -> np.ndarray:
    first = torch.from_numpy(image.array[:1])[None]
    read: np.ndarray = (
        pull.pull_by(first, displacement_mm, affine, image.affine)[0].double().numpy()
    )
    return read


def _voxels(transform: Transform, affine: Matrix, shape: tuple[int, int, int]) -> np.ndarray:
    """The network's displacement, without the alignment, in voxels of the slice."""
    field_only = replace(transform, alignment=np.eye(4))
    moves = pull.displacement(field_only, affine, shape).double().numpy()
    return np.asarray(np.einsum("rc,cxyz->rxyz", np.linalg.inv(affine[:3, :3]), moves))
