"""Losses: how unlike two labels are, and what a deformation costs.

The loss called `x` in the configuration is the function `x` of `losses/x.py`, imported when
it is asked for, so that a training reads the code of its own losses alone.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jaxtyping import Bool
from torch import Tensor

from tenter import config
from tenter.losses import scales
from tenter.shapes import Field, Labels, Scalar

if TYPE_CHECKING:
    from tenter.losses.scales import Measure

LabelTerm = Callable[[Labels, Labels, Bool[Tensor, "b l"]], Scalar]
FieldTerm = Callable[[Field], Scalar]


def label_loss(settings: config.LabelLoss, spacing_mm: Sequence[float]) -> LabelTerm:
    """The label term of the total loss, not yet multiplied by its weight.

    Args:
        settings: the measure, its scales in mm and the smoothing kernel.
        spacing_mm: voxel size of the grid along each axis.

    Returns:
        A function of warped labels `[b, l, *space]`, fixed labels (likewise) and which of them
        are present, `[b, l]`: the mean over scales and present labels.
    """
    measure: Measure = _function(settings.name)
    voxels = tuple(tuple(scale / size for size in spacing_mm) for scale in settings.scales_mm)
    return scales.MultiScale(measure, voxels, settings.kernel)


def regulariser(settings: config.Regulariser, spacing_mm: Sequence[float]) -> FieldTerm:
    """A deformation term of the total loss, not yet multiplied by its weight.

    Args:
        settings: the energy, its norm and its units.
        spacing_mm: voxel size of the grid along each axis; read for `units: mm` alone.

    Returns:
        A function of fields `[b, d, *space]` in voxels: the mean energy.
    """
    spacing = tuple(spacing_mm) if settings.units == "mm" else (1.0,) * len(spacing_mm)
    energy: Callable[..., Scalar] = _function(settings.name)
    options = {"norm": settings.norm} if settings.name == "gradient" else {}
    return functools.partial(energy, spacing=spacing, **options)


def _function(name: str) -> Callable[..., Tensor]:
    function: Callable[..., Tensor] = getattr(importlib.import_module(f"tenter.losses.{name}"), name)
    return function
