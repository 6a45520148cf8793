"""Losses: dissimilarities of labels and of images, and regularisers of deformations.

The loss called `x` in the configuration is the function `x` of `losses/x.py`. It is imported
on use, so that a training depends only on the code of its own losses. `objective` combines
them.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from tenter import config
from tenter.losses import presence, scales
from tenter.tensors import Image, Labels, PerSample, Scalar

ImageTerm = Callable[[Image, Image, Bool[Tensor, "b 1 *space"]], PerSample]
FieldTerm = Callable[..., Scalar]


@runtime_checkable
class LabelTerm(Protocol):
    """A function of warped labels, fixed labels and the labels' own weights."""

    def __call__(self, warped: Labels, fixed: Labels, weights: Float[Tensor, "b l"]) -> Scalar:
        """The mean over labels that count."""

    def mean(self, warped: Labels, fixed: Labels, weights: Float[Tensor, "b l"]) -> presence.Mean:
        """The same, with the number of labels that it is the mean of."""


def label_loss(settings: config.LabelTerm, spacing_mm: Sequence[float]) -> LabelTerm:
    """A term of labels, not yet multiplied by its weight.

    Args:
        settings: the measure and its options.
        spacing_mm: voxel size of the grid along each axis.

    Returns:
        A function of warped labels `[b, l, *space]`, fixed labels (likewise) and the labels'
        weights, `[b, l]`, 0 where a pair lacks the label; it gives the mean over labels that
        count.
    """
    module = _module(settings.name)
    if isinstance(settings, config.CentroidLoss):
        distance = functools.partial(
            module.centroid,
            spacing_mm=tuple(spacing_mm),
            norm=settings.norm,
            beta_mm=settings.beta_mm,
        )
        return _MeanDistance(distance)
    lengths = _voxels(settings.scales_mm, settings.scales_voxel, spacing_mm)
    if hasattr(module, "of_sums"):
        return scales.MultiScaleSums(module.of_sums, lengths, settings.kernel)
    return scales.MultiScale(getattr(module, settings.name), lengths, settings.kernel)


def image_loss(settings: config.ImageTerm, spacing_mm: Sequence[float]) -> ImageTerm:
    """A term of images, not yet multiplied by its weight.

    Args:
        settings: the measure and its options.
        spacing_mm: voxel size of the grid along each axis.

    Returns:
        A function of warped and fixed images `[b, c, *space]` and the mask of their overlap,
        `[b, 1, *space]`; it gives one number per pair.
    """
    options: dict[str, Any] = {}
    match settings:
        case config.GnccLoss():
            options = {"signed": settings.signed}
        case config.LnccLoss():
            lengths = _voxels(
                _single(settings.window_mm), _single(settings.window_voxel), spacing_mm
            )
            options = {"window": lengths[0], "kernel": settings.kernel, "signed": settings.signed}
        case config.MutualInformationLoss():
            options = {"bins": settings.bins, "normalised": settings.normalised}
        case config.MindLoss():
            options = {"radius": settings.radius_voxel, "distance": settings.distance_voxel}
    return functools.partial(getattr(_module(settings.name), settings.name), **options)


def regulariser(settings: config.Regulariser, spacing_mm: Sequence[float]) -> FieldTerm:
    """A term of deformations, not yet multiplied by its weight.

    Args:
        settings: the energy and its options.
        spacing_mm: voxel size of the grid along each axis.

    Returns:
        A function of fields `[b, d, *space]` in voxels, fixed to moving, and for
        `inverse_consistency` also of the fields of the exchanged images; it gives the mean energy.
    """
    options: dict[str, Any] = {}
    if not isinstance(settings, config.FoldingLoss):
        options["spacing"] = (
            tuple(spacing_mm) if settings.units == "mm" else (1.0,) * len(spacing_mm)
        )
    if isinstance(settings, config.GradientLoss | config.FoldingLoss):
        options["norm"] = settings.norm
    if isinstance(settings, config.FoldingLoss):
        options["margin"] = settings.margin
    return functools.partial(getattr(_module(settings.name), settings.name), **options)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"tenter.losses.{name}")


def _single(length: float | None) -> tuple[float] | None:
    return None if length is None else (length,)


def _voxels(
    lengths_mm: Sequence[float] | None,
    lengths_voxel: Sequence[float] | None,
    spacing_mm: Sequence[float],
) -> tuple[tuple[float, ...], ...]:
    """Each length along each axis, in voxels."""
    if lengths_voxel is not None:
        return tuple((float(length),) * len(spacing_mm) for length in lengths_voxel)
    return tuple(tuple(length / size for size in spacing_mm) for length in lengths_mm or ())


@dataclass(frozen=True)
class _MeanDistance:
    distance: Callable[[Labels, Labels], tuple[Float[Tensor, "b l"], Bool[Tensor, "b l"]]]

    def __call__(self, warped: Labels, fixed: Labels, weights: Float[Tensor, "b l"]) -> Scalar:
        return self.mean(warped, fixed, weights).value

    def mean(self, warped: Labels, fixed: Labels, weights: Float[Tensor, "b l"]) -> presence.Mean:
        values, present = self.distance(warped, fixed)
        return presence.weighted_mean(values, weights * present)
