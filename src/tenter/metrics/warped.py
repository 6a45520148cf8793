"""Moving labels on the fixed grid, computed only where they can land.

A label is read linearly (0 outside its image) and set where it reaches a threshold.
This needs one of the eight voxels around a place to reach it; so each label is read only
in the box of fixed voxels that map next to one of its own. Reading is in float64.
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
"""A label this little below the threshold reaches it: rounding to float32 shall not decide ties."""

NOWHERE = Region(np.zeros((0, 0, 0), dtype=np.bool_), (0, 0, 0))


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """The part of a moving label that makes a difference.

    Attributes:
        own: box of the voxels where the label reaches the threshold.
        values: the label in this box and one voxel around, within its image.
        start: first voxel of `values` in the image.
    """

    own: Box
    values: Float[np.ndarray, "x y z"]
    start: tuple[int, int, int]


def piece(label: Float[np.ndarray, "x y z"], threshold: float) -> Piece | None:
    """Cut a moving label out of its image; None if it nowhere reaches the threshold."""
    own = bounds(label >= threshold)
    if own is None:
        return None
    around = tuple(
        slice(max(part.start - 1, 0), min(part.stop + 1, size))
        for part, size in zip(own, label.shape, strict=True)
    )
    start = around[0].start, around[1].start, around[2].start
    return Piece(own, label[around].astype(np.float64), start)


def landing_box(to_fixed: Matrix, shape: tuple[int, int, int], own: Box) -> Box | None:
    """Box of the fixed voxels that a matrix maps less than a voxel from a box of the moving grid.

    Args:
        to_fixed: moving voxel -> fixed voxel.
        shape: voxels of the fixed grid.
        own: box of moving voxels.
    """
    edges = [(extent.start - 1.0, extent.stop + 0.0) for extent in own]
    corners = np.array(list(itertools.product(*edges)))
    places = geometry.apply(to_fixed, corners)
    low = np.clip(np.floor(places.min(axis=0)), 0, shape).astype(int)
    high = np.clip(np.ceil(places.max(axis=0)) + 1, 0, shape).astype(int)
    if (low >= high).any():
        return None
    x, y, z = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return x, y, z


@dataclass(frozen=True, slots=True)
class Warper:
    """Carries labels of one pair from the moving to the fixed grid.

    Attributes:
        transform: fixed to moving, in float64.
        fixed: the grid that labels are measured on.
        moving: affine of the moving labels.
        threshold: from which value on a soft label is set.
    """

    transform: Transform
    fixed: Grid
    moving: Matrix
    threshold: float

    def by_alignment(self, pieces: Sequence[Piece]) -> list[Region]:
        """Labels carried by the transform's alignment alone: one matrix, without a look at the field."""
        to_moving = np.linalg.inv(self.moving) @ self.transform.alignment @ self.fixed.affine
        to_fixed = np.linalg.inv(to_moving)

        def places(box: Box) -> Tensor:
            start = shifted(to_moving, _first(box))
            return grids.mapped(torch.from_numpy(start[None, :3]), _sizes(box))

        boxes = [landing_box(to_fixed, self.fixed.shape, item.own) for item in pieces]
        return [self._region(item, box, places) for item, box in zip(pieces, boxes, strict=True)]

    def by_transform(self, pieces: Sequence[Piece], landings: Sequence[Box | None]) -> list[Region]:
        """Labels carried by the whole transform.

        Args:
            pieces: of the moving labels.
            landings: for each the box of fixed voxels that it can reach.
        """

        def places(box: Box) -> Tensor:
            return self.transform.coordinates(
                shifted(self.fixed.affine, _first(box)), _sizes(box), self.moving
            )

        return [self._region(item, box, places) for item, box in zip(pieces, landings, strict=True)]

    def _region(self, item: Piece, landing: Box | None, places: Callable[[Box], Tensor]) -> Region:
        """One label within the box where it lands; `places` gives voxels of the moving grid."""
        if landing is None:
            return NOWHERE
        start = torch.tensor(item.start, dtype=torch.float64).reshape(1, 3, 1, 1, 1)
        image = torch.from_numpy(item.values)[None, None]
        values = warp.sample(image, places(landing) - start, padding="zeros")[0, 0].numpy()
        return Region(values >= self.threshold - TIE, _first(landing))


def _first(box: Box) -> tuple[int, int, int]:
    return box[0].start, box[1].start, box[2].start


def _sizes(box: Box) -> list[int]:
    return [side.stop - side.start for side in box]
