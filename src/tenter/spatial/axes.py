"""Grids with axes parallel to a volume's, which are read along one axis after the other."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tenter.shapes import Matrix

NEGLIGIBLE = 1e-6
"""Deviations up to this are ignored, in voxels."""

Shape = tuple[int, ...]
Places = Float[np.ndarray, " n"]


def are_apart(to_volume: Matrix, shape: Shape) -> bool:
    """Whether each axis of a grid is parallel to one of a volume, to 1e-6 voxels at its end.

    Args:
        to_volume: voxel of the grid to voxel of the volume.
        shape: voxels of the grid.
    """
    reach = np.abs(to_volume[:3, :3]) * np.array(shape) > NEGLIGIBLE
    return bool((reach.sum(0) == 1).all() and (reach.sum(1) == 1).all())


def places(to_volume: Matrix, shape: Shape) -> list[tuple[int, Places]]:
    """For each axis of the volume: the grid's parallel axis, and the grid's positions along it.

    Args:
        to_volume: voxel of the grid to voxel of the volume; their axes are apart.
        shape: voxels of the grid.
    """
    onto = [int(axis) for axis in np.abs(to_volume[:3, :3]).argmax(axis=1)]
    return [
        (along, to_volume[axis, 3] + to_volume[axis, along] * np.arange(shape[along]))
        for axis, along in enumerate(onto)
    ]
