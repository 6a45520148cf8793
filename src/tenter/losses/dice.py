"""Soft Dice loss."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from tenter.losses import presence
from tenter.losses.scales import Sums
from tenter.tensors import Labels

EPSILON = 1e-6


def dice(warped: Labels, fixed: Labels) -> Float[Tensor, "b l"]:
    """1 - 2 sum(p t) / (sum p + sum t), as in label-reg (Hu et al., 2018).

    Two labels that are both blurred do not reach 0, even where they are equal.

    Args:
        warped: p, `[b, l, *space]` in [0, 1].
        fixed: t, likewise.

    Returns:
        `[b, l]`, from 0 (alike and binary) to 1 (no overlap).
    """
    warped, fixed = warped.flatten(2), fixed.flatten(2)
    return _dice(Sums((warped * fixed).sum(dim=2), warped.sum(dim=2), fixed.sum(dim=2)))


def of_sums(sums: Sums, weights: Float[Tensor, "b l"]) -> presence.Mean:
    """`dice` from its sums, as a mean over the labels that count."""
    return presence.weighted_mean(_dice(sums), weights)


def _dice(sums: Sums) -> Float[Tensor, "b l"]:
    return 1 - 2 * sums.shared / (sums.warped + sums.fixed + EPSILON)
