"""Which labels of a batch count, and the mean over them."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from tenter.tensors import Labels, Scalar


class Mean(NamedTuple):
    """A mean and its number of terms, so that means over parts of a batch can be combined.

    Attributes:
        value: the mean; 0 if it has no terms.
        over: number of labels, or samples, that it is the mean of.
    """

    value: Scalar
    over: Scalar


def filled(labels: Labels) -> Bool[Tensor, "b l"]:
    """Which labels are not empty."""
    return labels.detach().flatten(2).any(dim=2)


def weighted_mean(values: Float[Tensor, "b l"], weights: Float[Tensor, "b l"]) -> Mean:
    """Mean of weight times value over the labels whose weight is not 0; 0 if there are none.

    Args:
        values: `[b, l]`, finite even where a label does not count.
        weights: `[b, l]`, 0 or more.
    """
    count = (weights > 0).sum()
    return Mean((weights * values).sum() / count.clamp(min=1), count.to(values.dtype))
