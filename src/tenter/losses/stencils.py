"""The mean of a norm of several finite differences of a field, with its gradient in closed form."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from tenter.errors import TrainingError
from tenter.records import Fault
from tenter.spatial import constants
from tenter.tensors import Field, Scalar

BLOCK = 1 << 17
"""Values of a field processed at a time."""

Norm = Literal["l1", "l2"]
Stencil: TypeAlias = Mapping[tuple[int, ...], float]
"""A finite difference: offset in voxels to coefficient."""
Terms: TypeAlias = Sequence[tuple[float, Stencil]]
"""Differences to sum, each with its factor."""
Listed: TypeAlias = tuple[tuple[float, tuple[tuple[tuple[int, ...], float], ...]], ...]
"""The same, with each difference as a tuple of its items."""


def first_difference(axis: int, spacing: Sequence[float]) -> Stencil:
    """The central difference (f[+1] - f[-1]) / 2, per unit of `spacing`."""
    step = _unit(axis, len(spacing))
    factor = 0.5 / spacing[axis]
    return {step: factor, tuple(-part for part in step): -factor}


def product(first: Stencil, second: Stencil) -> Stencil:
    """The composition of two differences."""
    result: dict[tuple[int, ...], float] = {}
    for offset, factor in first.items():
        for second_offset, weight in second.items():
            combined = tuple(a + b for a, b in zip(offset, second_offset, strict=True))
            result[combined] = result.get(combined, 0.0) + factor * weight
    return result


def mean_energy(
    field: Field, spacing: Sequence[float], terms: Terms, *, margin: int, norm: Norm
) -> Scalar:
    """Mean of the summed terms over components and voxels further than `margin` from the border.

    Args:
        field: `[b, d, *space]` in voxels; multiplied by `spacing` it is in the unit of the terms'
            derivatives.
        spacing: size of a voxel along each axis in this unit.
        terms: differences and their factors.
        margin: voxels left out at each end of each axis.
        norm: absolute (`l1`) or squared (`l2`) values of the differences.

    Raises:
        TrainingError: the grid is too small to hold one difference.
    """
    if min(field.shape[2:]) <= 2 * margin:
        size = " x ".join(map(str, field.shape[2:]))
        message = (
            f"a grid of {size} voxels is too small for this regulariser, "
            f"which needs {2 * margin + 1} along each axis"
        )
        fix = "set a larger plan.shape or a smaller plan.spacing_mm"
        raise TrainingError(Fault("losses.regularisers", message, fix))
    scale = constants.numbers(spacing, field).view(-1, *[1] * (field.ndim - 2))
    # As tuples: PyTorch's profiler cannot record an argument whose keys are tuples.
    listed = tuple((factor, tuple(stencil.items())) for factor, stencil in terms)
    energy: Tensor = _MeanEnergy.apply(  # type: ignore[no-untyped-call]
        field * scale, listed, margin, norm
    )
    return energy


class _MeanEnergy(torch.autograd.Function):
    """The mean energy with a closed-form gradient; autograd would zero-pad about forty slices.

    In a flattened component the offset to a neighbour is the same for every voxel, so that whole
    ranges are subtracted at once. Values near the border, where neighbours come from the next
    line, are multiplied by 0.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        field: Tensor,
        terms: Listed,
        margin: int,
        norm: Norm,
    ) -> Tensor:
        inside = _inside(field, margin)
        steps = [math.prod(field.shape[axis + 1 :]) for axis in range(2, field.ndim)]
        components = field.flatten(0, 1).flatten(1)
        gradient = torch.zeros_like(components) if ctx.needs_input_grad[0] else None
        total = field.new_zeros(())
        for part in _blocks(components):
            for factor, stencil in terms:
                windows = [(_window(offset, steps, margin), weight) for offset, weight in stencil]
                # Products are rounded before they are summed, so that those of a constant cancel.
                difference = torch.zeros_like(components[part, windows[0][0]])
                for window, weight in windows:
                    difference.add_(components[part, window] * weight)
                difference.mul_(inside)
                total += factor * (
                    difference.square().sum() if norm == "l2" else difference.abs().sum()
                )
                if gradient is None:
                    continue
                slope = 2 * difference if norm == "l2" else difference.sign()
                for window, weight in windows:
                    gradient[part, window].add_(slope, alpha=factor * weight)
        count = len(components) * math.prod(size - 2 * margin for size in field.shape[2:])
        if gradient is not None:
            ctx.save_for_backward(gradient.div_(count).view(field.shape))
        return total / count

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:  # noqa: ANN401
        (gradient,) = ctx.saved_tensors
        return grad * gradient, None, None, None


def _unit(axis: int, dimensions: int) -> tuple[int, ...]:
    return tuple(int(index == axis) for index in range(dimensions))


def _blocks(components: Float[Tensor, "n voxels"]) -> Iterator[slice]:
    """Slices of components that fit into a core's cache; on a GPU, all at once."""
    count = (
        max(1, BLOCK // components.shape[1]) if components.device.type == "cpu" else len(components)
    )
    return (slice(start, start + count) for start in range(0, len(components), count))


def _inside(field: Field, margin: int) -> Float[Tensor, " voxels"]:
    """1 for voxels further than `margin` from the border, else 0; cut to the range of `_window`."""
    inside = field.new_zeros(field.shape[2:])
    inside[(slice(margin, -margin or None),) * inside.ndim] = 1
    return inside.flatten()[_window((0,) * inside.ndim, inside.stride(), margin)]


def _window(offset: Sequence[int], steps: Sequence[int], margin: int) -> slice:
    """The range of a flattened component that holds all interior voxels, shifted by an offset."""
    first, shift = margin * sum(steps), sum(map(operator.mul, offset, steps))
    return slice(first + shift, shift - first or None)
