"""Instance optimisation: a smooth displacement before a network's map, fitted to the images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tenter.config import Refine
from tenter.errors import DataError, TrainingError
from tenter.losses.objective import TOTAL, Objective
from tenter.spatial import bspline, compose
from tenter.tensors import Field, Labels


@dataclass(frozen=True, slots=True, eq=False)
class Unlabelled:
    """A pair without labels, in the form that losses read.

    Attributes:
        moving: `[1, c, x, y, z]`.
        fixed: likewise.
    """

    moving: Float[Tensor, "1 m *space"]
    fixed: Float[Tensor, "1 f *space"]

    @property
    def moving_labels(self) -> Labels:
        """None: `[1, 0, x, y, z]`."""
        return self.moving[:, :0]

    @property
    def fixed_labels(self) -> Labels:
        """None: `[1, 0, x, y, z]`."""
        return self.fixed[:, :0]

    @property
    def present(self) -> Bool[Tensor, "1 0"]:
        """None."""
        return torch.zeros((1, 0), dtype=torch.bool, device=self.fixed.device)

    @property
    def structures(self) -> Bool[Tensor, "1 0"]:
        """None."""
        return self.present


def refined(
    field: Field,
    moving: Float[Tensor, "1 m *space"],
    fixed: Float[Tensor, "1 f *space"],
    settings: Refine,
    spacing_mm: Sequence[float],
) -> tuple[Field, dict[str, Any]]:
    """Optimise a displacement d that is applied before the field's map, to fit the images best.

    d maps p -> p + d(p); it is a cubic B-spline, initially zero. The iterate with the lowest loss
    is kept. If a loss or its gradient is not finite, the field is left unchanged and `failed_at`
    is the step.

    Args:
        field: the network's, `[1, 3, x, y, z]`, voxels; any device.
        moving: `[1, c, x, y, z]` on the field's device.
        fixed: likewise.
        settings: terms, lattice and steps.
        spacing_mm: voxel size of the grid.

    Returns:
        The whole field in voxels; and `steps`, `best_step`, `loss_before`, `loss_after` and
        `failed_at`, the step whose loss or gradient was not finite, or None.

    Raises:
        DataError: a loss term cannot be computed for these images or this grid.
    """
    # Tensors created in inference mode cannot enter autograd; copies made outside of it can.
    with torch.inference_mode(mode=False), torch.enable_grad():
        search = _Search(
            field.clone(), Unlabelled(moving.clone(), fixed.clone()), settings, spacing_mm
        )
        try:
            failed_step = search.run()
        except TrainingError as error:
            faults = [
                replace(fault, message=f"`refine` cannot be done: {fault.message}")
                for fault in error.faults
            ]
            raise DataError(faults) from error
    report = {
        "steps": settings.steps,
        "best_step": 0 if failed_step is not None else search.best_step,
        "loss_before": _number(search.first),
        "loss_after": _number(search.first if failed_step is not None else search.least),
        "failed_at": failed_step,
    }
    unchanged = failed_step is not None or search.best_step == 0
    return (field if unchanged else search.total(search.best).detach()), report


class _Search:
    """Adam over the control points of one pair, and the best iterate so far."""

    def __init__(
        self, field: Field, pair: Unlabelled, settings: Refine, spacing_mm: Sequence[float]
    ) -> None:
        self._field, self._pair, self._settings = field, pair, settings
        self._voxels_per_mm = field.new_tensor([1 / size for size in spacing_mm]).view(
            1, -1, 1, 1, 1
        )
        self._spacing = [settings.spacing_mm / size for size in spacing_mm]
        self._objective = Objective(settings.losses, tuple(spacing_mm))
        shape = bspline.lattice(field.shape[2:], self._spacing)
        self._controls = field.new_zeros((1, len(spacing_mm), *shape)).requires_grad_()
        self.best, self.best_step = self._controls.detach().clone(), 0
        self.first = self.least = math.inf

    def run(self) -> int | None:
        """Optimise; the step at which a loss or its gradient was not finite, or None."""
        optimiser = torch.optim.Adam([self._controls], lr=self._settings.learning_rate)
        for step in range(self._settings.steps + 1):
            loss = self._objective(self.total(self._controls), self._pair)[TOTAL]
            value = float(loss.detach())
            if step == 0:
                self.first = value
            if not math.isfinite(value):
                return step
            if value < self.least:
                self.least, self.best_step, self.best = value, step, self._controls.detach().clone()
            if step == self._settings.steps:
                break
            (gradient,) = torch.autograd.grad(loss, self._controls)
            if not bool(gradient.isfinite().all()):
                return step
            self._controls.grad = gradient
            optimiser.step()
        return None

    def total(self, controls_mm: Float[Tensor, "1 3 *lattice"]) -> Field:
        """The whole field of control displacements in mm."""
        moves = (
            bspline.spline(controls_mm, self._spacing, self._field.shape[2:]) * self._voxels_per_mm
        )
        return compose.compose(self._field, moves)


def _number(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
