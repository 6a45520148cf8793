"""Mean squared difference of images."""

from __future__ import annotations

from jaxtyping import Bool
from torch import Tensor

from tenter.losses import masked
from tenter.tensors import Image, PerSample


def ssd(warped: Image, fixed: Image, inside: Bool[Tensor, "b 1 *space"]) -> PerSample:
    """Mean of (m - f)^2 over the voxels inside, and over channels.

    Args:
        warped: m, `[b, c, *space]`.
        fixed: f, likewise.
        inside: where the two overlap.
    """
    return masked.mean((warped - fixed).square(), inside)
