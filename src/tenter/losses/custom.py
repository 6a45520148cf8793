"""Losses of one's own: a function in a Python file or in an installed package."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tenter import config, plugin_imports
from tenter.errors import TrainingError
from tenter.records import Fault

_RESULTS = ("one number", "one number for each pair", "one number for each pair and label")


@dataclass(frozen=True)
class CustomLoss:
    """A function of tensors, whose result must have the shape that its kind of loss has.

    Attributes:
        reference: where the function is, for errors.
        function: with its settings.
        axes: of its first argument that the result has: 0, 1 (pairs) or 2 (pairs and labels).
    """

    reference: str
    function: Callable[..., Tensor]
    axes: int

    def __call__(self, first: Tensor, *others: Tensor) -> Tensor:
        """Apply it.

        Raises:
            TrainingError: the result is not a tensor of that shape.
        """
        result = self.function(first, *others)
        expected = tuple(first.shape[: self.axes])
        if not torch.is_tensor(result) or tuple(result.shape) != expected:
            given = f"shape {tuple(result.shape)}" if torch.is_tensor(result) else repr(result)
            message = (
                f"returned {given} instead of {_RESULTS[self.axes]}, a tensor of shape {expected}"
            )
            raise TrainingError(Fault(self.reference, message, "correct what it returns"))
        return result


def custom(settings: config.CustomTerm, spacing_mm: Sequence[float], axes: int) -> CustomLoss:
    """A loss of one's own with its settings.

    Args:
        settings: where it is, and its settings.
        spacing_mm: voxel size of the grid along each axis, for a parameter of that name.
        axes: as in `CustomLoss`.

    Raises:
        InputError: it cannot be imported, or its settings are not valid.
    """
    reference = settings.reference
    code = plugin_imports.load(reference)
    arguments = plugin_imports.arguments(reference, code, settings.settings)
    if "spacing_mm" in plugin_imports.parameters(code):
        arguments["spacing_mm"] = tuple(spacing_mm)
    return CustomLoss(reference.portable, functools.partial(code, **arguments), axes)
