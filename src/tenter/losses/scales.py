"""A label measure averaged over scales of smoothing, and over the labels that count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tenter.losses import presence
from tenter.spatial import smooth
from tenter.tensors import Labels, Scalar

Measure = Callable[[Labels, Labels], Float[Tensor, "b l"]]
"""Warped and fixed labels to one number per label, at least 0; small means similar."""


class Sums(NamedTuple):
    """The sums that an overlap of two labels p (warped) and t (fixed) depends on; each `[b, l]`.

    Attributes:
        shared: sum of p t over voxels.
        warped: sum of p.
        fixed: sum of t.
    """

    shared: Float[Tensor, "b l"]
    warped: Float[Tensor, "b l"]
    fixed: Float[Tensor, "b l"]


OfSums = Callable[[Sums, Float[Tensor, "b l"]], presence.Mean]
"""Sums and the labels' weights to the mean over the labels that count."""


@dataclass(frozen=True)
class MultiScale:
    """Mean over scales of a measure of the smoothed labels (Hu et al., 2018, equation 3).

    Attributes:
        measure: of labels at one scale.
        sigmas: for each scale the kernel's width along each axis, voxels; 0: no smoothing.
        kernel: the smoothing kernel's shape.
    """

    measure: Measure
    sigmas: tuple[tuple[float, ...], ...]
    kernel: smooth.Kind

    def __call__(self, warped: Labels, fixed: Labels, weights: Float[Tensor, "b l"]) -> Scalar:
        """The value of `mean` alone."""
        return self.mean(warped, fixed, weights).value

    def mean(self, warped: Labels, fixed: Labels, weights: Float[Tensor, "b l"]) -> presence.Mean:
        """Compare the labels that count.

        A label counts if its weight is not 0 and it is not empty on both sides, which would only
        add a constant.

        Args:
            warped: `[b, l, *space]`, the moving labels pulled back, in [0, 1].
            fixed: `[b, l, *space]` in [0, 1].
            weights: `[b, l]`, 0 where the pair lacks the label.

        Returns:
            The mean over scales, then over the labels that count; 0 if none counts.
        """
        values = [
            self.measure(
                smooth.smooth(warped, sigma, self.kernel), smooth.smooth(fixed, sigma, self.kernel)
            )
            for sigma in self.sigmas
        ]
        return presence.weighted_mean(
            torch.stack(values).mean(dim=0), _counted(warped, fixed, weights)
        )


@dataclass(frozen=True)
class MultiScaleSums:
    """`MultiScale` for a measure that depends on sums alone: same value, several times as fast.

    Smoothing G is linear and symmetric, so <G p, G t> = <p, G G t>: only the fixed label, which
    needs no gradient, is smoothed.

    Attributes:
        measure: of the sums at one scale.
        sigmas: as of `MultiScale`.
        kernel: as of `MultiScale`.
    """

    measure: OfSums
    sigmas: tuple[tuple[float, ...], ...]
    kernel: smooth.Kind

    def __call__(self, warped: Labels, fixed: Labels, weights: Float[Tensor, "b l"]) -> Scalar:
        """As of `MultiScale`."""
        return self.mean(warped, fixed, weights).value

    def mean(self, warped: Labels, fixed: Labels, weights: Float[Tensor, "b l"]) -> presence.Mean:
        """As of `MultiScale`."""
        counted = _counted(warped, fixed, weights)
        retained = self._retained(fixed)
        # One product for all scales: the labels are read, and their gradient is written, only once.
        shared = (self._twice(fixed) @ warped.flatten(2).unsqueeze(-1)).squeeze(-1)
        masses = [labels.flatten(2) @ retained.mT for labels in (warped, fixed)]
        sums = zip(*(part.unbind(-1) for part in (shared, *masses)), strict=True)
        means = [self.measure(Sums(*scale), counted) for scale in sums]
        return presence.Mean(torch.stack([mean.value for mean in means]).mean(), means[0].over)

    def _twice(self, fixed: Labels) -> Float[Tensor, "b l s n"]:
        """The labels smoothed twice at each scale."""
        twice = (
            smooth.smooth(fixed, sigma, self.kernel, times=2).flatten(2) for sigma in self.sigmas
        )
        return torch.stack(list(twice), dim=2)

    def _retained(self, labels: Labels) -> Float[Tensor, "s n"]:
        """The share of each voxel's mass that smoothing keeps at each scale: less at the border."""
        return torch.stack([self._share(labels, sigma).flatten() for sigma in self.sigmas])

    def _share(self, labels: Labels, sigma: tuple[float, ...]) -> Float[Tensor, "*space"]:
        """The same at one scale: a product over the axes."""
        share = labels.new_ones(())
        for size, width in zip(labels.shape[2:], sigma, strict=True):
            line = smooth.smooth(labels.new_ones((1, 1, size)), (width,), self.kernel)
            share = share.unsqueeze(-1) * line.flatten()
        return share


def _counted(warped: Labels, fixed: Labels, weights: Float[Tensor, "b l"]) -> Float[Tensor, "b l"]:
    return weights * (presence.filled(warped) | presence.filled(fixed))
