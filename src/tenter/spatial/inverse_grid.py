"""The inverse of a field as a field of its own, on a grid that holds the image of the first one's.

Here a field acts on its grid and half a voxel around, and not beyond, as in ITK.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from tenter.shapes import Points
from tenter.spatial import grids, invert, jacobian, slices

FURTHEST = 1.5
"""Grid sizes from its middle that the image of a grid may reach; what a wild voxel flings further is cut."""

TOLERANCE = 1e-6
"""Voxels by which the inverse may miss at its voxels: a field in float32 cannot say more."""

NEAR_FOLDS = 3
"""Voxels around a fold where several points may land in one place."""

POINTS = 8
"""Points looked at in each cell of a grid."""

MOSTLY = 0.5
"""Share of voxels near folds above which a field is not worth a finer inverse."""

GOLDEN = (0.8191725133961645, 0.6710436067037893, 0.5497004779019703)
"""Steps of the evenest sequence in a cube (Roberts, 2018): powers of the root of x^4 = x + 1."""


@dataclass(frozen=True, slots=True, eq=False)
class InverseGrid:
    """A field's inverse on another grid.

    Attributes:
        field: `[1, 3, x, y, z]`, voxels of this grid.
        first: where this grid's first voxel lies, voxels of the field's grid.
        factor: voxels of this grid along one of the field's.
    """

    field: Float[Tensor, "1 3 x y z"]
    first: tuple[float, float, float]
    factor: int

    def displaced(self, places: Points) -> Points:
        """Where places of the field's grid came from, by this field between its voxels.

        Args:
            places: `[n, 3]`, voxels of the field's grid, in this field's dtype.
        """
        own = (places - places.new_tensor(self.first)) * self.factor
        steps = invert.moves(self.field, own) * acts(own, self.field)[:, None]
        return places + steps / self.factor


def acts(places: Points, field: Float[Tensor, "1 3 x y z"], margin: float = 0.5) -> Tensor:
    """Which voxel coordinates `[n, 3]` lie on a field's grid or within so many voxels of it."""
    sizes = places.new_tensor(field.shape[2:])
    return ((places >= -margin) & (places < sizes - 1 + margin)).all(dim=1)


def origins(field: Float[Tensor, "1 3 x y z"], targets: Points) -> Points:
    """Where targets came from: by the field if from its grid, else from where they are.

    Args:
        field: `[1, 3, x, y, z]`, voxels; float64.
        targets: `[n, 3]`, voxel coordinates; float64.

    Returns:
        `[n, 3]`, voxel coordinates.
    """
    places = invert.preimages(field, targets)
    return torch.where(acts(places, field)[:, None], places, targets)


def inverse_grid(
    field: Float[Tensor, "1 3 x y z"], factor: int, coarser: InverseGrid | None = None
) -> InverseGrid:
    """The inverse at the voxels of a grid that holds the image of the field's own.

    Args:
        field: `[1, 3, x, y, z]`, voxels.
        factor: voxels along one of the field's.
        coarser: an inverse of the same field, to start from.
    """
    low, high = _reach(field)
    shape = [int(size) * factor + 1 for size in high - low]
    exact = field.double()
    coarser = coarser and _double(coarser)
    result = torch.empty((1, 3, *shape), dtype=field.dtype, device=field.device)
    thickness = max(1, invert.BLOCK // (shape[1] * shape[2]))
    scale = torch.cat([torch.eye(3, dtype=torch.float64) / factor, low[:, None]], dim=1).to(field.device)
    for start in range(0, shape[0], thickness):
        count = min(thickness, shape[0] - start)
        here = scale.clone()
        here[0, 3] += start / factor
        targets = grids.mapped(here[None], (count, *shape[1:]))
        columns = targets[0].flatten(1).T
        guess = columns if coarser is None else coarser.displaced(columns)
        places = invert.preimages(exact, columns, start=guess, tolerance=TOLERANCE)
        # As at its border for two voxels more, so that what is read between voxels is right up to it.
        held = acts(places, exact, 0.5 + 2 / factor)[:, None]
        steps = torch.where(held, places - columns, 0.0) * factor
        result[:, :, start : start + count] = steps.T.reshape(targets.shape).to(field.dtype)
    x, y, z = (float(value) for value in low)
    return InverseGrid(result, (x, y, z), factor)


def return_errors(
    field: Float[Tensor, "1 3 x y z"], inverse: InverseGrid, to_mm: Float[Tensor, "3 3"]
) -> tuple[float, float]:
    """How far points are from home after the field and its inverse, read between voxels.

    Some points in each cell of the field's grid, but the outermost cells.

    Args:
        field: `[1, 3, x, y, z]`, voxels.
        inverse: its inverse.
        to_mm: voxels to mm.

    Returns:
        The largest, mm; and the largest where the field does not fold, NaN if it folds nearly everywhere.
    """
    exact, back = field.double(), _double(inverse)
    folds = _near_folds(exact)
    largest, soundest = 0.0, math.nan if bool(folds.double().mean() > MOSTLY) else 0.0
    for block in _inner_points(exact):
        home = back.displaced(block + invert.moves(exact, block))
        errors = ((home - block) @ to_mm.T).norm(dim=1)
        sound = ~folds[tuple(block.long().T)]
        largest = max(largest, float(errors.max()))
        soundest = max(soundest, float((errors * sound).max()))
    return largest, soundest


def _double(inverse: InverseGrid) -> InverseGrid:
    return InverseGrid(inverse.field.double(), inverse.first, inverse.factor)


def _inner_points(field: Tensor) -> Iterator[Tensor]:
    """Points `[n, 3]` spread evenly over the insides of a grid's cells."""
    margins = [1 if size > 3 else 0 for size in field.shape[2:]]
    cells = [max(1, size - 1 - 2 * margin) for size, margin in zip(field.shape[2:], margins, strict=True)]
    corners = grids.identity(cells, dtype=field.dtype, device=field.device)[0].flatten(1).T
    corners = corners + field.new_tensor(margins)
    last = field.new_tensor(field.shape[2:]) - 1
    for turn, first in itertools.product(range(POINTS), range(0, len(corners), invert.BLOCK)):
        block = corners[first : first + invert.BLOCK]
        count = torch.arange(len(block), dtype=field.dtype, device=field.device) + turn * len(corners) + first
        yield torch.minimum(block + torch.frac(count[:, None] * field.new_tensor(GOLDEN)), last)


def _near_folds(field: Tensor) -> Tensor:
    """Voxels `[x, y, z]` near a fold."""
    normal = slices.normal(field.shape[2:])
    sizes = [size for axis, size in enumerate(field.shape[2:]) if axis != normal]
    if min(sizes) < 3:
        return torch.zeros(field.shape[2:], dtype=torch.bool, device=field.device)
    margins = [int(axis != normal) for axis in (2, 2, 1, 1, 0, 0)]
    turned = functional.pad(jacobian.non_diffeomorphic_map(field), margins)
    wide = 2 * NEAR_FOLDS + 1
    return functional.max_pool3d(turned[:, None], wide, stride=1, padding=NEAR_FOLDS)[0, 0] > 0


def _reach(field: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest and highest whole voxel coordinates that hold the image of the grid, float64."""
    start = grids.identity(field.shape[2:], dtype=torch.float64, device=field.device)
    landed = (start + field)[0].flatten(1).cpu()
    half = torch.tensor(field.shape[2:], dtype=torch.float64) * FURTHEST
    middle = landed.mean(dim=1)
    low = torch.maximum(landed.amin(dim=1) - 0.5, middle - half).floor()
    high = torch.minimum(landed.amax(dim=1) + 0.5, middle + half).ceil()
    return low, high
