"""A label measure averaged over scales of smoothing, and over the labels that count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tenter.losses import presence
from tenter.shapes import Labels, Scalar
from tenter.spatial import smooth

Measure = Callable[[Labels, Labels], Float[Tensor, "b l"]]
"""Warped and fixed labels to one number a label, 0 or more; small is alike."""


class Sums(NamedTuple):
    """All that an overlap of two labels p (warped) and t (fixed) depends on; each `[b, l]`.

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
    """Mean over scales of a measure of both labels smoothed alike (Hu et al., 2018, equation 3).

    Attributes:
        measure: of labels at one scale.
        sigmas: for each scale the kernel's width along each axis, voxels; 0 leaves labels as they are.
        kernel: the smoothing kernel's shape.
    """

    measure: Measure
    sigmas: tuple[tuple[float, ...], ...]
    kernel: smooth.Kind

    def __call__(self, warped: Labels, fixed: Labels, weights: Float[Tensor, "b l"]) -> Scalar:
        """The value of `mean` alone."""
        return self.mean(warped, fixed, weights).value

    def mean(self, warped: Labels, fixed: Labels, weights: Float[Tensor, "b l"]) -> presence.Mean:
        """Compare labels that are there.

        A label counts where its weight is not 0 and at least one of the two sides holds some
        of it; two empty sides would only add a constant.

        Args:
            warped: `[b, l, *space]`, the moving labels pulled back, in [0, 1].
            fixed: `[b, l, *space]` in [0, 1].
            weights: `[b, l]`, 0 where the pair lacks the label.

        Returns:
            The mean over scales, then over the labels that count; 0 where none does.
        """
        values = [
            self.measure(smooth.smooth(warped, sigma, self.kernel), smooth.smooth(fixed, sigma, self.kernel))
            for sigma in self.sigmas
        ]
        return presence.weighted_mean(torch.stack(values).mean(dim=0), _counted(warped, fixed, weights))


@dataclass(frozen=True)
class MultiScaleSums:
    """`MultiScale` for a measure of sums alone: equal, and several times as fast.

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
        kept = self._kept(fixed)
        # One product for all scales, so that the labels are read, and their gradient written, once.
        shared = (self._twice(fixed) @ warped.flatten(2).unsqueeze(-1)).squeeze(-1)
        masses = [labels.flatten(2) @ kept.mT for labels in (warped, fixed)]
        sums = zip(*(part.unbind(-1) for part in (shared, *masses)), strict=True)
        means = [self.measure(Sums(*scale), counted) for scale in sums]
        return presence.Mean(torch.stack([mean.value for mean in means]).mean(), means[0].over)

    def _twice(self, fixed: Labels) -> Float[Tensor, "b l s n"]:
        """The labels smoothed twice at each scale."""
        twice = (smooth.smooth(fixed, sigma, self.kernel, times=2).flatten(2) for sigma in self.sigmas)
        return torch.stack(list(twice), dim=2)

    def _kept(self, labels: Labels) -> Float[Tensor, "s n"]:
        """What each voxel's mass comes to once it is smoothed at each scale: some is lost at the border."""
        return torch.stack([self._share(labels, sigma).flatten() for sigma in self.sigmas])

    def _share(self, labels: Labels, sigma: tuple[float, ...]) -> Float[Tensor, "*space"]:
        """Of one scale: a product of what is kept along each axis."""
        share = labels.new_ones(())
        for size, width in zip(labels.shape[2:], sigma, strict=True):
            line = smooth.smooth(labels.new_ones((1, 1, size)), (width,), self.kernel)
            share = share.unsqueeze(-1) * line.flatten()
        return share


def _counted(warped: Labels, fixed: Labels, weights: Float[Tensor, "b l"]) -> Float[Tensor, "b l"]:
    return weights * (presence.filled(warped) | presence.filled(fixed))
