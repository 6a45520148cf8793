"""Two-class cross-entropy of soft labels."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from tenter.tensors import Labels

EPSILON = 1e-6


def cross_entropy(warped: Labels, fixed: Labels) -> Float[Tensor, "b l"]:
    """Mean over voxels of -t log p - (1 - t) log(1 - p), as in label-reg (Hu et al., 2018).

    Args:
        warped: p, `[b, l, *space]` in [0, 1]; kept 1e-6 away from either end.
        fixed: t, likewise in [0, 1].

    Returns:
        `[b, l]`, in nats.
    """
    chance = warped.clamp(EPSILON, 1 - EPSILON)
    entropy = fixed * chance.log() + (1 - fixed) * (1 - chance).log()
    return -entropy.flatten(2).mean(dim=2)
