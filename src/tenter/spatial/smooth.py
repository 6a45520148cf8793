"""Separable smoothing with label-reg's kernels, exactly, by one matrix product per axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from tenter.spatial import constants
from tenter.tensors import Image

Kind = Literal["gaussian", "cauchy", "box"]

_TAILS = {"gaussian": 3, "cauchy": 5, "box": 1}
"""Cut-off of each kernel, in multiples of its width."""


def kernel(
    sigma: float, kind: Kind = "gaussian", device: torch.device | None = None
) -> Float[Tensor, " k"]:
    """Weights of a symmetric kernel, summing to 1 (Hu et al., 2018, label-reg's `losses.py`).

    Args:
        sigma: standard deviation (`gaussian`), half-width at half-maximum (`cauchy`) or
            half-width (`box`), voxels.
        kind: `gaussian`, exp(-x^2 / 2 sigma^2) cut at int(3 sigma); `cauchy`,
            1 / (1 + (x / sigma)^2) cut at int(5 sigma); `box`, 1 cut at int(sigma).
        device: of the result; the CPU by default.

    Returns:
        `[2 tail + 1]` weights, float64; `tail` is the cut-off.
    """
    tail = int(_TAILS[kind] * sigma)
    if tail == 0 or kind == "box":
        return torch.full((2 * tail + 1,), 1 / (2 * tail + 1), dtype=torch.float64, device=device)
    ratio = (torch.arange(-tail, tail + 1, dtype=torch.float64, device=device) / sigma) ** 2
    weights = torch.exp(-ratio / 2) if kind == "gaussian" else 1 / (1 + ratio)
    return weights / weights.sum()


@constants.Kept
def matrix(
    size: int, sigma: float, kind: Kind, *, times: int = 1, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "n n"]:
    """The symmetric matrix that smooths a line of `size` voxels; zeros lie beyond its ends.

    Args:
        size: voxels of the line.
        sigma: as in `kernel`, voxels.
        kind: as in `kernel`.
        times: number of times that the kernel is applied.
        dtype: of the result.
        device: of the result.

    Returns:
        `[size, size]`; cached, so it must not be modified.
    """
    weights = kernel(sigma, kind, device)
    tail = len(weights) // 2
    index = torch.arange(size, device=device)
    distance = (index[:, None] - index).abs()
    entries = torch.cat([weights[tail:], weights.new_zeros(1)])[distance.clamp(max=tail + 1)]
    power: Tensor = torch.linalg.matrix_power(entries, times)
    return power.to(dtype)


def smooth(
    volume: Image, sigma_voxels: Sequence[float], kind: Kind = "gaussian", *, times: int = 1
) -> Image:
    """Convolve each channel with the separable kernel, zeros beyond the border; differentiable.

    The matrix is the convolution itself, not an approximation of it: label-reg pads with
    zeros, so mass is lost at the border.

    Args:
        volume: `[b, c, *space]`.
        sigma_voxels: kernel width along each axis; 0 leaves an axis as it is.
        kind: as in `kernel`.
        times: number of times that the kernel is applied, with zeros beyond the border each time;
            costs as much as once.

    Returns:
        `[b, c, *space]`.
    """
    for axis, sigma in enumerate(sigma_voxels):
        if sigma > 0:
            size = volume.shape[axis + 2]
            device, dtype = volume.device, volume.dtype
            weights = matrix.beside(volume)(
                size, float(sigma), kind, times=times, dtype=dtype, device=device
            )
            volume = _along(volume, weights, axis + 2)
    return volume


def _along(volume: Tensor, weights: Tensor, axis: int) -> Tensor:
    if axis == volume.ndim - 1:
        return volume @ weights.mT
    lines = volume.flatten(axis + 1)
    return (weights @ lines).reshape(volume.shape)
