"""Mutual information of images, from a joint histogram with Parzen windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tenter.tensors import Image, PerSample

BLOCK = 2**12
"""Voxels whose windows are in memory at once, on a CPU."""

WIDTH = 0.5
"""Standard deviation of a window, in bins."""

LEAST = -60.0
"""Logarithm of the smallest share of a voxel in a bin."""

TINY = 1e-10
"""Probability that is added inside logarithms."""


def mutual_information(
    warped: Image,
    fixed: Image,
    inside: Bool[Tensor, "b 1 *space"],
    *,
    bins: int = 32,
    normalised: bool = True,
) -> PerSample:
    """2 - (H(m) + H(f)) / H(m, f) of the intensities inside; the mean over channels.

    Wells et al. and Viola (1996), normalised as by Studholme et al. (Pattern Recognition 32,
    1999). Each voxel is spread over the bins by a Gaussian of half a bin's width, so that the
    histogram has a gradient (Parzen); for the same reason equal images do not quite reach 0.
    The bins divide each image's own range, from its minimum to its maximum.

    Args:
        warped: m, `[b, c, *space]`.
        fixed: f, likewise.
        inside: where the two overlap.
        bins: for each image.
        normalised: in [0, 1]; otherwise H(m, f) - H(m) - H(f), in nats, at most 0.
    """
    batch, channels = warped.shape[:2]
    weights = inside.expand_as(fixed).flatten(2).flatten(0, 1).to(warped.dtype)
    joint: Tensor = _Joint.apply(  # type: ignore[no-untyped-call]
        _unit(warped), _unit(fixed), weights, bins
    )
    joint = joint / joint.sum(dim=(1, 2), keepdim=True).clamp(min=TINY)
    marginal_entropies = _entropy(joint.sum(dim=2)) + _entropy(joint.sum(dim=1))
    joint_entropy = _entropy(joint.flatten(1))
    if not normalised:
        return (joint_entropy - marginal_entropies).reshape(batch, channels).mean(dim=1)
    ratio = (marginal_entropies + TINY) / (joint_entropy + TINY)
    return 2 - ratio.reshape(batch, channels).mean(dim=1)


def _unit(image: Image) -> Float[Tensor, "n v"]:
    """Each channel of each sample rescaled to [0, 1]; a constant one is 0."""
    values = image.flatten(2).flatten(0, 1)
    low, high = values.amin(dim=1, keepdim=True), values.amax(dim=1, keepdim=True)
    return (values - low) / (high - low).clamp(min=TINY)


class _Joint(torch.autograd.Function):
    """Sum over voxels of the outer products of their windows, block by block.

    The windows, many times as large as the images, are recomputed for the gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        first: Tensor,
        second: Tensor,
        weights: Tensor,
        bins: int,
    ) -> Tensor:
        ctx.save_for_backward(first, second, weights)
        ctx.bins = bins
        total = first.new_zeros(len(first), bins, bins)
        for part in _blocks(first):
            first_windows, second_windows = (
                _windows(values[:, part], bins) for values in (first, second)
            )
            total += first_windows.mul_(weights[:, part, None]).mT @ second_windows
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:  # noqa: ANN401
        first, second, weights = ctx.saved_tensors
        slopes = torch.empty_like(first), torch.empty_like(second)
        for part in _blocks(first):
            first_windows, second_windows = (
                _windows(values[:, part], ctx.bins) for values in (first, second)
            )
            slopes[0][:, part] = _slopes(first_windows, second_windows @ grad.mT)
            slopes[1][:, part] = _slopes(second_windows, first_windows @ grad)
        return slopes[0] * weights, slopes[1] * weights, None, None


def _blocks(values: Float[Tensor, "n v"]) -> Iterator[slice]:
    """Slices of the voxels; on a CPU each small enough for its cache."""
    size = BLOCK if values.device.type == "cpu" else 64 * BLOCK
    for start in range(0, values.shape[1], size):
        yield slice(start, start + size)


def _windows(values: Float[Tensor, "n w"], bins: int) -> Float[Tensor, "n w p"]:
    """Each voxel's weights for the bins; they sum to 1."""
    centres = torch.arange(bins, dtype=values.dtype, device=values.device)
    heights = values[..., None] * (bins - 1) - centres
    # Denormal numbers are ten times as slow.
    heights.square_().mul_(-0.5 / WIDTH**2).clamp_(min=LEAST).exp_()
    return heights.div_(heights.sum(dim=-1, keepdim=True))


def _slopes(windows: Float[Tensor, "n w p"], grad: Float[Tensor, "n w p"]) -> Float[Tensor, "n w"]:
    """The gradient of values from that of their windows W_p.

    dW_p = W_p (p - sum_q W_q q) / WIDTH^2.
    """
    bins = windows.shape[-1]
    centres = torch.arange(bins, dtype=windows.dtype, device=windows.device)
    grad = grad.mul_(windows)
    return (grad @ centres - grad.sum(dim=-1) * (windows @ centres)) * ((bins - 1) / WIDTH**2)


def _entropy(chances: Float[Tensor, "n p"]) -> Float[Tensor, "n"]:
    return -(chances * (chances + TINY).log()).sum(dim=1)
