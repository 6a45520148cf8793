"""The inverse of a field as a field on a grid that covers the image of the first grid.

Here a field acts on its grid and half a voxel around it, and is zero beyond, as in ITK.
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

from tenter.spatial import grids, invert, jacobian, slices
from tenter.tensors import Points

FURTHEST = 1.5
"""Extent of the inverse's grid from its middle, at most, in grid sizes: outliers beyond are cut."""

TOLERANCE = 1e-6
"""Largest error of the inverse at its voxels, in voxels: the precision of a float32 field."""

NEAR_FOLDS = 3
"""Distance in voxels around a fold within which several points may be mapped to the same one."""

POINTS = 8
"""Sample points in each cell of a grid."""

MOSTLY = 0.5
"""Share of voxels near folds above which the inverse is not refined."""

GOLDEN = (0.8191725133961645, 0.6710436067037893, 0.5497004779019703)
"""Steps of a low-discrepancy sequence (Roberts, 2018): powers of the root of x^4 = x + 1."""


@dataclass(frozen=True, slots=True, eq=False)
class InverseGrid:
    """A field's inverse on another grid.

    Attributes:
        field: `[1, 3, x, y, z]`, voxels of this grid.
        first: position of this grid's first voxel, in voxels of the field's grid.
        factor: voxels of this grid per voxel of the field's, along each axis.
    """

    field: Float[Tensor, "1 3 x y z"]
    first: tuple[float, float, float]
    factor: int

    def displaced(self, points: Points) -> Points:
        """Points of the field's grid mapped by this inverse, interpolated between its voxels.

        Args:
            points: `[n, 3]`, voxels of the field's grid, in this field's dtype.
        """
        voxels = (points - points.new_tensor(self.first)) * self.factor
        steps = invert.moves(self.field, voxels) * acts(voxels, self.field)[:, None]
        return points + steps / self.factor


def acts(points: Points, field: Float[Tensor, "1 3 x y z"], margin: float = 0.5) -> Tensor:
    """Which voxel coordinates `[n, 3]` lie on a field's grid, or within `margin` voxels of it."""
    sizes = points.new_tensor(field.shape[2:])
    return ((points >= -margin) & (points < sizes - 1 + margin)).all(dim=1)


def origins(field: Float[Tensor, "1 3 x y z"], targets: Points) -> Points:
    """Preimages of targets: by the field if they lie on its grid, else the targets themselves.

    Args:
        field: `[1, 3, x, y, z]`, voxels; float64.
        targets: `[n, 3]`, voxel coordinates; float64.

    Returns:
        `[n, 3]`, voxel coordinates.
    """
    sources = invert.preimages(field, targets)
    return torch.where(acts(sources, field)[:, None], sources, targets)


def inverse_grid(
    field: Float[Tensor, "1 3 x y z"], factor: int, coarser: InverseGrid | None = None
) -> InverseGrid:
    """The inverse at the voxels of a grid that covers the image of the field's own grid.

    Args:
        field: `[1, 3, x, y, z]`, voxels.
        factor: voxels per voxel of the field's grid, along each axis.
        coarser: an inverse of the same field, used as the initial guess.
    """
    low, high = _reach(field)
    shape = [int(size) * factor + 1 for size in high - low]
    exact = field.double()
    coarser = coarser and _double(coarser)
    result = torch.empty((1, 3, *shape), dtype=field.dtype, device=field.device)
    thickness = max(1, invert.BLOCK // (shape[1] * shape[2]))
    scale = torch.cat([torch.eye(3, dtype=torch.float64) / factor, low[:, None]], dim=1).to(
        field.device
    )
    for start in range(0, shape[0], thickness):
        count = min(thickness, shape[0] - start)
        block_affine = scale.clone()
        block_affine[0, 3] += start / factor
        targets = grids.mapped(block_affine[None], (count, *shape[1:]))
        columns = targets[0].flatten(1).T
        guess = columns if coarser is None else coarser.displaced(columns)
        sources = invert.preimages(exact, columns, start=guess, tolerance=TOLERANCE)
        # Extended by two voxels, so that interpolation is correct up to the border.
        active = acts(sources, exact, 0.5 + 2 / factor)[:, None]
        steps = torch.where(active, sources - columns, 0.0) * factor
        result[:, :, start : start + count] = steps.T.reshape(targets.shape).to(field.dtype)
    x, y, z = (float(value) for value in low)
    return InverseGrid(result, (x, y, z), factor)


def return_errors(
    field: Float[Tensor, "1 3 x y z"], inverse: InverseGrid, to_mm: Float[Tensor, "3 3"]
) -> tuple[float, float]:
    """Round-trip errors of the field and its inverse, interpolated between voxels.

    They are measured at several points in each cell of the field's grid except the outermost.

    Args:
        field: `[1, 3, x, y, z]`, voxels.
        inverse: its inverse.
        to_mm: voxels to mm.

    Returns:
        The largest error, mm; and the largest where the field does not fold, NaN if it folds
        nearly everywhere.
    """
    exact, back = field.double(), _double(inverse)
    folds = _near_folds(exact)
    largest, largest_unfolded = 0.0, math.nan if bool(folds.double().mean() > MOSTLY) else 0.0
    for block in _inner_points(exact):
        returned = back.displaced(block + invert.moves(exact, block))
        errors = ((returned - block) @ to_mm.T).norm(dim=1)
        unfolded = ~folds[tuple(block.long().T)]
        largest = max(largest, float(errors.max()))
        largest_unfolded = max(largest_unfolded, float((errors * unfolded).max()))
    return largest, largest_unfolded


def _double(inverse: InverseGrid) -> InverseGrid:
    return InverseGrid(inverse.field.double(), inverse.first, inverse.factor)


def _inner_points(field: Tensor) -> Iterator[Tensor]:
    """Points `[n, 3]` spread evenly over the inner cells of a grid, in blocks."""
    margins = [1 if size > 3 else 0 for size in field.shape[2:]]
    cells = [
        max(1, size - 1 - 2 * margin) for size, margin in zip(field.shape[2:], margins, strict=True)
    ]
    corners = grids.identity(cells, dtype=field.dtype, device=field.device)[0].flatten(1).T
    corners = corners + field.new_tensor(margins)
    last = field.new_tensor(field.shape[2:]) - 1
    for turn, first in itertools.product(range(POINTS), range(0, len(corners), invert.BLOCK)):
        block = corners[first : first + invert.BLOCK]
        count = (
            torch.arange(len(block), dtype=field.dtype, device=field.device)
            + turn * len(corners)
            + first
        )
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
    """Lowest and highest integer voxel coordinates that enclose the image of the grid, float64."""
    start = grids.identity(field.shape[2:], dtype=torch.float64, device=field.device)
    images = (start + field)[0].flatten(1).cpu()
    half = torch.tensor(field.shape[2:], dtype=torch.float64) * FURTHEST
    middle = images.mean(dim=1)
    low = torch.maximum(images.amin(dim=1) - 0.5, middle - half).floor()
    high = torch.minimum(images.amax(dim=1) + 0.5, middle + half).ceil()
    return low, high
