"""A label measure averaged over scales of smoothing, and over the labels that are there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tenter.shapes import Labels, Scalar
from tenter.spatial import smooth

Measure = Callable[[Labels, Labels], Float[Tensor, "b l"]]
"""Warped and fixed labels to one number a label, 0 or more; small is alike."""


@dataclass(frozen=True)
class MultiScale:
    """Mean over scales of a measure of both labels smoothed alike (Hu et al., 2018, equation 3).

    Attributes:
        measure: of labels at one scale.
        sigmas: for each scale the kernel's width along each axis, voxels; 0 leaves labels as they are.
        kernel: the smoothing kernel's shape.
    """

    measure: Measure
    sigmas: tuple[tuple[float, ...], ...]
    kernel: smooth.Kind

    def __call__(self, warped: Labels, fixed: Labels, present: Bool[Tensor, "b l"]) -> Scalar:
        """Compare labels that are there.

        A label counts where it is `present` and at least one of the two sides holds some of
        it; two empty sides would only add a constant.

        Args:
            warped: `[b, l, *space]`, the moving labels pulled back, in [0, 1].
            fixed: `[b, l, *space]` in [0, 1].
            present: `[b, l]`, false where the pair lacks the label.

        Returns:
            The mean over scales, then over the labels that count; 0 where none does.
        """
        values = [
            self.measure(smooth.smooth(warped, sigma, self.kernel), smooth.smooth(fixed, sigma, self.kernel))
            for sigma in self.sigmas
        ]
        per_label = torch.stack(values).mean(dim=0)
        filled = warped.detach().flatten(2).any(dim=2) | fixed.flatten(2).any(dim=2)
        counted = present & filled
        return per_label.where(counted, 0.0).sum() / counted.sum().clamp(min=1)
