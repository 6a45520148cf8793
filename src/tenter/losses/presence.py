"""Which labels of a batch count, and the mean over them."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor

from tenter.shapes import Labels, Scalar


class Mean(NamedTuple):
    """A mean, and over how many: what parts of a batch need to be put together.

    Attributes:
        value: the mean; 0 where it is over nothing.
        over: how many labels, or samples, it is the mean of.
    """

    value: Scalar
    over: Scalar


def filled(labels: Labels) -> Bool[Tensor, "b l"]:
    """Which labels hold anything at all."""
    return labels.detach().flatten(2).any(dim=2)


def weighted_mean(values: Float[Tensor, "b l"], weights: Float[Tensor, "b l"]) -> Mean:
    """Mean of weight times value over the labels whose weight is not 0; 0 where there is none.

    Args:
        values: `[b, l]`, finite even where a label does not count.
        weights: `[b, l]`, 0 or more.
    """
    count = (weights > 0).sum()
    return Mean((weights * values).sum() / count.clamp(min=1), count.to(values.dtype))
