"""One pass over the fixed grid: volume change of the map, and where labels land.

The grid is processed in slabs, so that a large image needs no more memory than a small one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from torch import Tensor

from tenter.metrics.deformation import determinants, turned_volume
from tenter.metrics.regions import Box, Grid, bounds, hull, shifted
from tenter.shapes import Matrix
from tenter.spatial import slices
from tenter.spatial.transform import Transform, moving_voxels

SLAB_VOXELS = 2**21
"""Voxels of the fixed grid processed at a time; does not affect results."""

SLACK = 0.01
"""Margin of a box in voxels, as coordinates are rounded to float32 here."""


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """The results of one pass over the fixed grid.

    Attributes:
        determinants: Jacobian determinants (mm to mm) at the inner voxels.
        turned: volume turned inside out around them, in voxels.
        landings: for each box of moving voxels the box of fixed voxels that map less than a
            voxel from it; None if there are none.
    """

    determinants: Float[np.ndarray, "x y z"]
    turned: float
    landings: tuple[Box | None, ...]

    @property
    def ndv_percent(self) -> float:
        """Non-diffeomorphic volume: `turned`, in % of the inner voxels' volume.

        NaN for a grid without inner voxels. Source: Liu et al., IJCV 2024.
        """
        inner = self.determinants.size
        return 100 * self.turned / inner if inner else math.nan


def survey(transform: Transform, fixed: Grid, moving: Matrix, boxes: Sequence[Box] = ()) -> Survey:
    """Survey the whole map; on a fixed grid of one slice, the change of areas in its plane.

    Args:
        transform: fixed to moving.
        fixed: the grid to survey.
        moving: voxel -> RAS mm of the moving grid.
        boxes: of moving voxels, whose landing boxes are computed.
    """
    parts: list[np.ndarray] = []
    turned = []
    landing_boxes: list[list[Box]] = [[] for _ in boxes]
    plane = _in_plane(transform, fixed)
    for start, shape in _slabs(fixed.shape):
        affine = shifted(fixed.affine, (start, 0, 0))
        displacement = transform.displacement_mm(affine, shape)
        plane_displacement = displacement if plane is None else plane.displacement_mm(affine, shape)
        parts.append(determinants(plane_displacement, affine))
        turned.append(turned_volume(plane_displacement, affine))
        voxels = moving_voxels(displacement, affine, moving)[0]
        for box_landings, landing in zip(landing_boxes, _landings(voxels, boxes), strict=True):
            if landing is not None:
                box_landings.append(
                    (slice(landing[0].start + start, landing[0].stop + start), *landing[1:])
                )
    landings = tuple(hull(box_landings) if box_landings else None for box_landings in landing_boxes)
    return Survey(np.concatenate(parts), math.fsum(turned), landings)


def by_alignment(transform: Transform) -> Survey:
    """The survey of the alignment alone, whose Jacobian is the same everywhere: one voxel."""
    determinant = np.linalg.det(transform.alignment[:3, :3])
    turned = max(0.0, -float(determinant))
    return Survey(determinant.reshape(1, 1, 1), turned, ())


def _in_plane(transform: Transform, fixed: Grid) -> Transform | None:
    """A map within a slice that changes areas as the alignment and the field change volumes.

    The alignment may rotate the slice arbitrarily in space; only its determinant matters here.
    """
    normal = slices.normal(fixed.shape)
    if normal is None:
        return None
    stretch = np.eye(4)
    along = (normal + 1) % 3
    stretch[along, along] = np.linalg.det(transform.alignment[:3, :3])
    return replace(transform, alignment=fixed.affine @ stretch @ np.linalg.inv(fixed.affine))


def _slabs(shape: tuple[int, int, int]) -> Iterator[tuple[int, tuple[int, int, int]]]:
    """First plane and shape of slabs along x; neighbours share two planes for the differences."""
    inner = max(1, SLAB_VOXELS // (shape[1] * shape[2]))
    for start in range(0, max(1, shape[0] - 2), inner):
        yield start, (min(inner + 2, shape[0] - start), shape[1], shape[2])


def _landings(voxels: Float[Tensor, "3 x y z"], boxes: Sequence[Box]) -> list[Box | None]:
    """Search the hull of all boxes first, then each box only where the hull lands."""
    coordinates = voxels.cpu().numpy()
    everywhere = (slice(0, None), slice(0, None), slice(0, None))
    area = _landing(coordinates, hull(boxes), everywhere) if boxes else None
    if area is None:
        return [None for _ in boxes]
    return [_landing(coordinates, box, area) for box in boxes]


def _landing(coordinates: Float[np.ndarray, "3 x y z"], box: Box, area: Box) -> Box | None:
    reached = np.ones(coordinates[0][area].shape, dtype=np.bool_)
    for axis_coordinates, extent in zip(coordinates, box, strict=True):
        reached &= (axis_coordinates[area] > extent.start - 1 - SLACK) & (
            axis_coordinates[area] < extent.stop + SLACK
        )
    inner = bounds(reached)
    if inner is None:
        return None
    x, y, z = (
        slice(outer.start + part.start, outer.start + part.stop)
        for outer, part in zip(area, inner, strict=True)
    )
    return x, y, z
