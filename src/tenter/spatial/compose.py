"""Composition of displacement fields."""

from __future__ import annotations

from tenter.spatial import warp
from tenter.tensors import Field


def compose(outer: Field, inner: Field) -> Field:
    """The displacement of x -> outer(inner(x)) as maps: inner(x) + outer(x + inner(x)).

    Warping an image by the result equals warping it by `outer` first and the outcome by
    `inner`, but interpolates once. Outside the grid `outer` has its border values.

    Args:
        outer: `[b, d, *space]` in voxels, applied second to a point.
        inner: `[b, d, *space]` in voxels, applied first.

    Returns:
        `[b, d, *space]` in voxels.
    """
    return inner + warp.warp(outer, inner, padding="border")
