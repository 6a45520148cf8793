"""The inverse of a displacement field."""

from __future__ import annotations

import torch

from tenter.shapes import Field, PerSample
from tenter.spatial import warp


def invert(field: Field, *, steps: int = 50, tolerance: float = 1e-6) -> tuple[Field, PerSample]:
    """The field v with (x + v) + u(x + v) = x, by fixed-point iteration v <- -u(x + v).

    Chen et al., A simple fixed-point approach to invert a deformation field, Medical
    Physics 2008. Converges where u changes by less than one voxel a voxel; the residual
    says whether it did.

    Args:
        field: `[b, d, *space]`, voxels.
        steps: largest number of iterations.
        tolerance: stop once no voxel is off by more than this, voxels.

    Returns:
        The inverse, `[b, d, *space]` voxels, and each sample's largest |v + u(x + v)|, voxels.
    """
    inverse = torch.zeros_like(field)
    error = field
    for _ in range(steps):
        inverse = inverse - error
        error = inverse + warp.warp(field, inverse)
        if float(error.detach().abs().max()) < tolerance:
            break
    return inverse, error.norm(dim=1).flatten(1).amax(dim=1)
