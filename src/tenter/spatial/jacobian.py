"""How a deformation changes volume."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from tenter.shapes import Field


def determinant(field: Field, spacing_mm: Sequence[float] | None = None) -> Float[Tensor, "b *interior"]:
    """Jacobian determinant det(I + grad u) of x -> x + u(x), by central differences.

    Values at or below 0 are folds. The outermost voxels are left out: a one-sided
    difference there would not be comparable.

    Args:
        field: `[b, d, *space]`, displacement in voxels; or in mm along the grid's axes.
        spacing_mm: voxel size where the field is in mm; None where it is in voxels (the
            determinant of the same deformation is then the same).

    Returns:
        `[b, *interior]`, each axis shorter by 2.
    """
    dimensions = field.shape[1]
    steps = (1.0,) * dimensions if spacing_mm is None else tuple(spacing_mm)
    columns = [_slope(field, axis, step) for axis, step in enumerate(steps)]
    for axis, column in enumerate(columns):
        column[:, axis] += 1
    if dimensions == 2:
        (a, c), (b, d) = (column.unbind(1) for column in columns)
        return a * d - b * c
    first, second, third = columns
    result: Tensor = (torch.linalg.cross(first, second, dim=1) * third).sum(dim=1)
    return result


def _slope(field: Field, axis: int, step: float) -> Tensor:
    inner = [slice(None), slice(None), *[slice(1, -1)] * (field.ndim - 2)]
    after, before = list(inner), list(inner)
    after[axis + 2] = slice(2, None)
    before[axis + 2] = slice(None, -2)
    slope: Tensor = (field[tuple(after)] - field[tuple(before)]) / (2 * step)
    return slope
