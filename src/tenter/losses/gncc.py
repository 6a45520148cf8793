"""Global normalised cross-correlation of images."""

from __future__ import annotations

from jaxtyping import Bool
from torch import Tensor

from tenter.losses import masked
from tenter.tensors import Image, PerSample


def gncc(
    warped: Image, fixed: Image, inside: Bool[Tensor, "b 1 *space"], *, signed: bool = False
) -> PerSample:
    """1 - r^2, with Pearson's correlation r of the intensities inside; the mean over channels.

    Invariant to a linear change of either image's intensities. A constant image has r = 0.

    Args:
        warped: `[b, c, *space]`.
        fixed: likewise.
        inside: where the two overlap.
        signed: 1 - r instead, in [0, 2].
    """
    product = masked.standardised(warped, inside) * masked.standardised(fixed, inside)
    count = inside.flatten(2).sum(dim=2).clamp(min=1)
    correlation = product.flatten(2).sum(dim=2) / count
    return 1 - (correlation if signed else correlation.square()).mean(dim=1)
