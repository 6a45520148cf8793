"""A 2-D image is a volume of one slice: which axis that is, and fields of the plane alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def normal(shape: Sequence[int]) -> int | None:
    """The axis that a slice is perpendicular to: the only one of one voxel among three; else None."""
    thin = [axis for axis, size in enumerate(shape) if size == 1]
    return thin[0] if len(thin) == 1 and len(shape) == 3 else None


def to_plane(field: Float[Tensor, "b 3 *space"], axis: int) -> Float[Tensor, "b 2 *plane"]:
    """The field of a slice in its own two dimensions.

    Args:
        field: `[b, 3, *space]` with one voxel along `axis`; its component along `axis` is left out.
        axis: the slice's normal.

    Returns:
        `[b, 2, *plane]`.
    """
    # A list as an index would be uploaded, and a GPU waited for.
    kept = [field.select(1, other) for other in range(3) if other != axis]
    return torch.stack(kept, dim=1).squeeze(2 + axis)


def to_space(field: Float[Tensor, "b 2 *plane"], axis: int) -> Float[Tensor, "b 3 *space"]:
    """The field of a plane as one of a slice, with nothing along the normal.

    Args:
        field: `[b, 2, *plane]`.
        axis: the slice's normal.

    Returns:
        `[b, 3, *space]`, one voxel along `axis`.
    """
    parts = list(field.unbind(1))
    parts.insert(axis, torch.zeros_like(parts[0]))
    return torch.stack(parts, dim=1).unsqueeze(2 + axis)
