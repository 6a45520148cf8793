"""Which labels of a batch count, and the mean over them."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from tenter.shapes import Labels, Scalar


def filled(labels: Labels) -> Bool[Tensor, "b l"]:
    """Which labels hold anything at all."""
    return labels.detach().flatten(2).any(dim=2)


def weighted_mean(values: Float[Tensor, "b l"], weights: Float[Tensor, "b l"]) -> Scalar:
    """Mean of weight times value over the labels whose weight is not 0; 0 where there is none.

    Args:
        values: `[b, l]`, finite even where a label does not count.
        weights: `[b, l]`, 0 or more.
    """
    counted = weights > 0
    return (weights * values).sum() / counted.sum().clamp(min=1)
