"""Distance between the centroids of labels: a differentiable target registration error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tenter.spatial import constants
from tenter.tensors import Labels

LEAST_MASS = 0.1
"""Mass in voxels below which a label has no centroid: it, and its gradient, would diverge."""


class Distances(NamedTuple):
    """Distances of labels, and whether they are defined.

    Attributes:
        values: `[b, l]`; 0 where undefined.
        defined: `[b, l]`, whether both sides hold enough of the label to have a centroid.
    """

    values: Float[Tensor, "b l"]
    defined: Bool[Tensor, "b l"]


def centroid(
    warped: Labels,
    fixed: Labels,
    spacing_mm: Sequence[float],
    norm: Literal["smooth_l1", "squared"] = "smooth_l1",
    beta_mm: float = 1.0,
) -> Distances:
    """Distance r in mm between the centres of mass of warped and fixed labels.

    The landmark error of Hu et al. (2018), with soft labels. `squared` is r^2; `smooth_l1` is
    Huber's (1964), r^2 / (2 beta) for r < beta and r - beta / 2 beyond.

    Args:
        warped: `[b, l, *space]` in [0, 1].
        fixed: likewise.
        spacing_mm: voxel size along each axis.
        norm: of the distance.
        beta_mm: distance from which `smooth_l1` is linear.
    """
    (warped_centre, warped_mass), (fixed_centre, fixed_mass) = _centroids(warped), _centroids(fixed)
    present = (warped_mass > LEAST_MASS) & (fixed_mass > LEAST_MASS)
    squared = (
        ((warped_centre - fixed_centre) * constants.numbers(spacing_mm, warped_centre))
        .square()
        .sum(dim=2)
    )
    # Before the square root: a label without a centroid would make the gradient NaN.
    squared = squared.where(present, 0.0)
    if norm == "squared":
        return Distances(squared, present)
    distance = squared.clamp(min=beta_mm**2).sqrt()
    huber = torch.where(squared < beta_mm**2, squared / (2 * beta_mm), distance - beta_mm / 2)
    return Distances(huber, present)


def _centroids(labels: Labels) -> tuple[Float[Tensor, "b l d"], Float[Tensor, "b l"]]:
    """Centres of mass in voxels from the grid's middle, and masses in voxels."""
    mass = labels.flatten(2).sum(dim=2)
    safe = mass.clamp(min=LEAST_MASS)
    columns = []
    for axis in range(2, labels.ndim):
        size = labels.shape[axis]
        other_axes = [dimension for dimension in range(2, labels.ndim) if dimension != axis]
        index = torch.arange(size, dtype=labels.dtype, device=labels.device) - (size - 1) / 2
        columns.append((labels.sum(dim=other_axes) * index).sum(dim=2) / safe)
    return torch.stack(columns, dim=2), mass
