"""Moving labels on the fixed grid, computed only where they can land.

A label is interpolated linearly (0 outside its image) and set where it reaches a threshold. For
this, one of the eight surrounding voxels must reach it, so that each label is only interpolated
in the box of fixed voxels that map next to one of the label's voxels. This is done in float64.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tenter.metrics.regions import Box, Grid, Region, bounds, shifted
from tenter.shapes import Matrix
from tenter.spatial import geometry, grids, warp
from tenter.spatial.transform import Transform

TIE = 1e-6
"""Tolerance of the threshold, so that rounding to float32 does not decide ties."""

NOWHERE = Region(np.zeros((0, 0, 0), dtype=np.bool_), (0, 0, 0))


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """The relevant part of a moving label.

    Attributes:
        own: box of the voxels where the label reaches the threshold.
        values: the label in this box and one voxel around, within its image.
        start: first voxel of `values` in the image.
    """

    own: Box
    values: Float[np.ndarray, "x y z"]
    start: tuple[int, int, int]


def piece(label: Float[np.ndarray, "x y z"], threshold: float) -> Piece | None:
    """Crop a moving label from its image; None if it does not reach the threshold anywhere."""
    box = bounds(label >= threshold)
    if box is None:
        return None
    around = tuple(
        slice(max(part.start - 1, 0), min(part.stop + 1, size))
        for part, size in zip(box, label.shape, strict=True)
    )
    start = around[0].start, around[1].start, around[2].start
    return Piece(box, label[around].astype(np.float64), start)


def landing_box(to_fixed: Matrix, shape: tuple[int, int, int], box: Box) -> Box | None:
    """Box of the fixed voxels that a matrix maps less than a voxel from a box of the moving grid.

    Args:
        to_fixed: moving voxel -> fixed voxel.
        shape: voxels of the fixed grid.
        box: box of moving voxels.
    """
    edges = [(extent.start - 1.0, extent.stop + 0.0) for extent in box]
    corners = np.array(list(itertools.product(*edges)))
    landed = geometry.apply(to_fixed, corners)
    low = np.clip(np.floor(landed.min(axis=0)), 0, shape).astype(int)
    high = np.clip(np.ceil(landed.max(axis=0)) + 1, 0, shape).astype(int)
    if (low >= high).any():
        return None
    x, y, z = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return x, y, z


@dataclass(frozen=True, slots=True)
class Warper:
    """Warps the labels of one pair from the moving to the fixed grid.

    Attributes:
        transform: fixed to moving, in float64.
        fixed: the grid that labels are measured on.
        moving: affine of the moving labels.
        threshold: value from which a soft label is set.
    """

    transform: Transform
    fixed: Grid
    moving: Matrix
    threshold: float

    def by_alignment(self, pieces: Sequence[Piece]) -> list[Region]:
        """Labels warped by the transform's alignment alone: one matrix, without the field."""
        to_moving = np.linalg.inv(self.moving) @ self.transform.alignment @ self.fixed.affine
        to_fixed = np.linalg.inv(to_moving)

        def coordinates(box: Box) -> Tensor:
            start = shifted(to_moving, _first(box))
            return grids.mapped(torch.from_numpy(start[None, :3]), _sizes(box))

        boxes = [landing_box(to_fixed, self.fixed.shape, label.own) for label in pieces]
        return [
            self._region(label, box, coordinates) for label, box in zip(pieces, boxes, strict=True)
        ]

    def by_transform(self, pieces: Sequence[Piece], landings: Sequence[Box | None]) -> list[Region]:
        """Labels warped by the whole transform.

        Args:
            pieces: of the moving labels.
            landings: for each label, the box of fixed voxels that it can reach.
        """

        def coordinates(box: Box) -> Tensor:
            return self.transform.coordinates(
                shifted(self.fixed.affine, _first(box)), _sizes(box), self.moving
            )

        return [
            self._region(label, box, coordinates)
            for label, box in zip(pieces, landings, strict=True)
        ]

    def _region(
        self, label: Piece, landing: Box | None, coordinates: Callable[[Box], Tensor]
    ) -> Region:
        """One label in the box where it lands; `coordinates` gives voxels of the moving grid."""
        if landing is None:
            return NOWHERE
        start = torch.tensor(label.start, dtype=torch.float64).reshape(1, 3, 1, 1, 1)
        image = torch.from_numpy(label.values)[None, None]
        values = warp.sample(image, coordinates(landing) - start, padding="zeros")[0, 0].numpy()
        return Region(values >= self.threshold - TIE, _first(landing))


def _first(box: Box) -> tuple[int, int, int]:
    return box[0].start, box[1].start, box[2].start


def _sizes(box: Box) -> list[int]:
    return [side.stop - side.start for side in box]
