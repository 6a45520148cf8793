"""Losses: dissimilarities of labels and of images, and regularisers of deformations.

The loss called `x` in the configuration is the function `x` of `losses/x.py`. It is imported
on use, so that a training depends only on the code of its own losses. `objective` combines
them.

A function's further parameters are keys of its settings; a parameter `x` for which there are keys
`x_mm` and `x_voxel` is a length along each axis in voxels, `spacing` the voxel size in the chosen
`units`, and `spacing_mm` that in mm.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from tenter import config
from tenter.losses import presence, scales
from tenter.losses.custom import custom
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
    function = _function(settings, spacing_mm, 2)
    if not isinstance(settings, config.SmoothedLabelLoss):
        return _MeanDistance(function)
    lengths = _voxels(settings.scales_mm, settings.scales_voxel, spacing_mm)
    if not isinstance(settings, config.CustomLabelLoss):
        of_sums = getattr(_module(settings.name), "of_sums", None)
        if of_sums is not None:
            return scales.MultiScaleSums(of_sums, lengths, settings.kernel)
    return scales.MultiScale(function, lengths, settings.kernel)


def image_loss(settings: config.ImageTerm, spacing_mm: Sequence[float]) -> ImageTerm:
    """A term of images, not yet multiplied by its weight.

    Args:
        settings: the measure and its options.
        spacing_mm: voxel size of the grid along each axis.

    Returns:
        A function of warped and fixed images `[b, c, *space]` and the mask of their overlap,
        `[b, 1, *space]`; it gives one number per pair.
    """
    return _function(settings, spacing_mm, 1)


def regulariser(settings: config.Regulariser, spacing_mm: Sequence[float]) -> FieldTerm:
    """A term of deformations, not yet multiplied by its weight.

    Args:
        settings: the energy and its options.
        spacing_mm: voxel size of the grid along each axis.

    Returns:
        A function of fields `[b, d, *space]` in voxels, fixed to moving, and for
        `inverse_consistency` also of the fields of the exchanged images; it gives the mean energy.
    """
    return _function(settings, spacing_mm, 0)


def options(
    settings: config.Term, function: Callable[..., object], spacing_mm: Sequence[float]
) -> dict[str, Any]:
    """The keyword arguments of a loss's function that settings and the grid decide.

    Args:
        settings: of the loss.
        function: whose parameters they are; those without a counterpart are left out.
        spacing_mm: voxel size of the grid along each axis.
    """
    chosen: dict[str, Any] = {}
    for name in inspect.signature(function).parameters:
        value = _option(settings, name, tuple(spacing_mm))
        if value is not None:
            chosen[name] = value
    return chosen


def _option(settings: config.Term, name: str, spacing_mm: tuple[float, ...]) -> Any:  # noqa: ANN401
    """The value of one parameter; None if settings and grid do not decide it."""
    keys = type(settings).model_fields
    if name == "spacing_mm":
        return spacing_mm
    if name == "spacing" and "units" in keys:
        in_mm = getattr(settings, "units") == "mm"  # noqa: B009 - a key of some settings
        return spacing_mm if in_mm else (1.0,) * len(spacing_mm)
    if name in keys:
        return getattr(settings, name)
    if f"{name}_mm" in keys:
        in_mm, in_voxels = (_single(getattr(settings, f"{name}_{u}")) for u in ("mm", "voxel"))
        return _voxels(in_mm, in_voxels, spacing_mm)[0]
    return getattr(settings, f"{name}_voxel", None)


def _function(settings: config.Term, spacing_mm: Sequence[float], axes: int) -> Callable[..., Any]:
    """A loss's function of tensors; its result has that many axes of its first argument."""
    if isinstance(settings, config.CustomTerm):
        return custom(settings, spacing_mm, axes)
    function = getattr(_module(settings.name), settings.name)
    return functools.partial(function, **options(settings, function, spacing_mm))


def _module(name: str) -> Any:  # noqa: ANN401 - a module, whose functions have many types
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
