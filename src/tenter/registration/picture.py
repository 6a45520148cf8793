"""Three slices through a registered pair, read from the original images at their own sharpness."""

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
    """A scene of one slice for each plane that the case grid has, through its middle.

    Args:
        transform: fixed point to moving point; its grid is what is shown.
        moving: the original; its first channel is shown.
        fixed: the original, likewise.
    """
    return tuple(_cut(transform, moving, fixed, plane.normal) for plane in planes(transform.field.shape[2:]))


def _cut(transform: Transform, moving: Volume, fixed: Volume, normal: int) -> Scene:
    affine, shape = _slice(transform, normal, min(geometry.spacing_mm(fixed.affine)))
    still = torch.zeros((3, *shape), dtype=transform.field.dtype)
    plain = pull.displacement(transform.without_field(), affine, shape)
    moved = pull.displacement(transform, affine, shape)
    nothing = np.zeros((0, *shape))
    return Scene(
        fixed=_read(fixed, still, affine),
        moving=_read(moving, plain, affine),
        warped=_read(moving, moved, affine),
        field=_voxels(transform, affine, shape),
        spacing_mm=geometry.spacing_mm(affine),
        fixed_labels=nothing,
        moving_labels=nothing,
        warped_labels=nothing,
    )


def _slice(transform: Transform, normal: int, step_mm: float) -> tuple[Matrix, tuple[int, int, int]]:
    """One layer of the case grid, its voxels split until they are about as small as `step_mm`."""
    sizes = np.array(transform.field.shape[2:])
    wanted = np.round(np.array(geometry.spacing_mm(transform.affine)) / step_mm).astype(int)
    parts = np.maximum(1, np.minimum(wanted, FINEST // sizes))
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
    read: np.ndarray = pull.pull_by(first, displacement_mm, affine, image.affine)[0].double().numpy()
    return read


def _voxels(transform: Transform, affine: Matrix, shape: tuple[int, int, int]) -> np.ndarray:
    """The network's displacement, without the alignment, in voxels of the slice."""
    alone = replace(transform, alignment=np.eye(4))
    moves = pull.displacement(alone, affine, shape).double().numpy()
    return np.asarray(np.einsum("rc,cxyz->rxyz", np.linalg.inv(affine[:3, :3]), moves))
