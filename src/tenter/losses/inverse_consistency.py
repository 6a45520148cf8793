"""Inverse consistency: whether two fields are inverses of each other."""

from __future__ import annotations

from collections.abc import Sequence

from tenter.losses import masked
from tenter.spatial import compose, constants, warp
from tenter.tensors import Field, Scalar


def inverse_consistency(field: Field, backward: Field, spacing: Sequence[float]) -> Scalar:
    """Average of the mean squared lengths of u(x) + v(x + u(x)) and of v(x) + u(x + v(x)).

    Christensen and Johnson, Consistent image registration, IEEE TMI 20 (2001). Voxels that one
    field maps outside the grid, where the other is undefined, are left out.

    Args:
        field: u, `[b, d, *space]` in voxels, from the fixed to the moving image.
        backward: v, likewise, from the moving to the fixed image.
        spacing: size of a voxel along each axis in the unit of the result's square root.
    """
    lengths = constants.numbers(spacing, field).view(-1, *[1] * (field.ndim - 2))
    halves = []
    for inner, outer in ((field, backward), (backward, field)):
        missed = (compose.compose(outer, inner) * lengths).square().sum(dim=1, keepdim=True)
        halves.append(masked.mean(missed, warp.inside(inner)).mean())
    return (halves[0] + halves[1]) / 2
