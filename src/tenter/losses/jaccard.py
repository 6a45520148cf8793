"""Soft Jaccard loss."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from tenter.tensors import Labels

EPSILON = 1e-6


def jaccard(warped: Labels, fixed: Labels) -> Float[Tensor, "b l"]:
    """1 - sum(p t) / (sum p^2 + sum t^2 - sum(p t)), as in label-reg (Hu et al., 2018).

    Args:
        warped: p, `[b, l, *space]` in [0, 1].
        fixed: t, likewise.

    Returns:
        `[b, l]`, from 0 (equal, blurred or not) to 1 (no overlap).
    """
    warped, fixed = warped.flatten(2), fixed.flatten(2)
    shared = (warped * fixed).sum(dim=2)
    return 1 - shared / (warped.square().sum(dim=2) + fixed.square().sum(dim=2) - shared + EPSILON)
