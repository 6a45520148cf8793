"""Distance between the centroids of labels: a target registration error that can be learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tenter.shapes import Labels
from tenter.spatial import constants

LEAST_MASS = 0.1
"""Voxels below which a label has no place: its centroid, and the gradient, would run away."""


class Distances(NamedTuple):
    """Distances of labels, and whether there are any.

    Attributes:
        values: `[b, l]`; 0 where there is none.
        found: `[b, l]`, whether both sides hold enough of the label to have a centroid.
    """

    values: Float[Tensor, "b l"]
    found: Bool[Tensor, "b l"]


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
        beta_mm: where `smooth_l1` turns straight.
    """
    (place, mass), (target, other) = _centroids(warped), _centroids(fixed)
    found = (mass > LEAST_MASS) & (other > LEAST_MASS)
    squared = ((place - target) * constants.numbers(spacing_mm, place)).square().sum(dim=2)
    # Before the distance is taken: a label without a place would put NaN into the gradient.
    squared = squared.where(found, 0.0)
    if norm == "squared":
        return Distances(squared, found)
    distance = squared.clamp(min=beta_mm**2).sqrt()
    huber = torch.where(squared < beta_mm**2, squared / (2 * beta_mm), distance - beta_mm / 2)
    return Distances(huber, found)


def _centroids(labels: Labels) -> tuple[Float[Tensor, "b l d"], Float[Tensor, "b l"]]:
    """Centres of mass in voxels from the grid's middle, and masses in voxels."""
    mass = labels.flatten(2).sum(dim=2)
    safe = mass.clamp(min=LEAST_MASS)
    columns = []
    for axis in range(2, labels.ndim):
        size = labels.shape[axis]
        others = [other for other in range(2, labels.ndim) if other != axis]
        index = torch.arange(size, dtype=labels.dtype, device=labels.device) - (size - 1) / 2
        columns.append((labels.sum(dim=others) * index).sum(dim=2) / safe)
    return torch.stack(columns, dim=2), mass
