"""Generalised Dice loss: the labels of a sample together, small ones weighted like large ones."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from tenter.losses import presence
from tenter.losses.scales import Sums
from tenter.tensors import Labels

EPSILON = 1e-6
LEAST = 1.0
"""Volume in voxels below which a label's weight does not increase further."""


def generalised_dice(
    warped: Labels, fixed: Labels, weights: Float[Tensor, "b l"] | None = None
) -> Float[Tensor, "b 1"]:
    """1 - 2 sum_l w sum(p t) / sum_l w (sum p + sum t) with w = 1 / (sum t)^2.

    Sudre et al., Generalised Dice overlap as a deep learning loss function, DLMIA 2017. For a
    single label it is `dice`.

    Args:
        warped: p, `[b, l, *space]` in [0, 1].
        fixed: t, likewise.
        weights: `[b, l]`, factors of w; 0 leaves a label out. None: ones.

    Returns:
        `[b, 1]`, from 0 (alike and binary) to 1 (no overlap).
    """
    warped, fixed = warped.flatten(2), fixed.flatten(2)
    sums = Sums((warped * fixed).sum(dim=2), warped.sum(dim=2), fixed.sum(dim=2))
    return _generalised(sums, sums.fixed.new_ones(()) if weights is None else weights)


def of_sums(sums: Sums, weights: Float[Tensor, "b l"]) -> presence.Mean:
    """`generalised_dice` from its sums, as a mean over the samples with a label that counts."""
    present = (weights > 0).any(dim=1, keepdim=True).to(weights.dtype)
    return presence.weighted_mean(_generalised(sums, weights), present)


def _generalised(sums: Sums, weights: Float[Tensor, "..."]) -> Float[Tensor, "b 1"]:
    weights = weights / sums.fixed.clamp(min=LEAST).square()
    # Only ratios of weights matter; normalised, EPSILON is equally small for labels of any size.
    weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
    both = (weights * (sums.warped + sums.fixed)).sum(dim=1, keepdim=True)
    shared = (weights * sums.shared).sum(dim=1, keepdim=True)
    return 1 - 2 * shared / (both + EPSILON)
