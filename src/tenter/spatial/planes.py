"""Fields of slices: of three components in space, of two in the slice's own plane."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def to_plane(field: Float[Tensor, "b 3 *space"], axis: int) -> Float[Tensor, "b 2 *plane"]:
    """The field of a slice in its own two dimensions.

    Args:
        field: `[b, 3, *space]` with one voxel along `axis`; its component along `axis` is left out.
        axis: the slice's normal.

    Returns:
        `[b, 2, *plane]`.
    """
    # Indexing by a list would copy it to the device and synchronise with a GPU.
    components = [field.select(1, component) for component in range(3) if component != axis]
    return torch.stack(components, dim=1).squeeze(2 + axis)


def to_space(field: Float[Tensor, "b 2 *plane"], axis: int) -> Float[Tensor, "b 3 *space"]:
    """The field of a plane as one of a slice, zero along the normal.

    Args:
        field: `[b, 2, *plane]`.
        axis: the slice's normal.

    Returns:
        `[b, 3, *space]`, one voxel along `axis`.
    """
    parts = list(field.unbind(1))
    parts.insert(axis, torch.zeros_like(parts[0]))
    return torch.stack(parts, dim=1).unsqueeze(2 + axis)
