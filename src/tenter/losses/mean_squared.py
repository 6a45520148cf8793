"""Mean squared difference of labels."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from tenter.tensors import Labels


def mean_squared(warped: Labels, fixed: Labels) -> Float[Tensor, "b l"]:
    """Mean over voxels of (p - t)^2.

    Args:
        warped: p, `[b, l, *space]` in [0, 1].
        fixed: t, likewise.

    Returns:
        `[b, l]`.
    """
    return (warped - fixed).square().flatten(2).mean(dim=2)
