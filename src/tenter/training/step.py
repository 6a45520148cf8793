"""One training step: forward, warp the moving labels, losses, backward, guarded update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tenter.config import TrainSettings
from tenter.losses.objective import Objective
from tenter.sampling.batches import Batch
from tenter.tensors import Field, Image
from tenter.training import devices
from tenter.training.optimiser import Average, GuardedAdamW, learning_rate
from tenter.training.team import ALONE, Team

PATIENCE = 3
"""Training stops after this many steps in a row with a loss or gradient that is not finite."""


class Learner:
    """A network in training: weights, optimiser, average, and figures not yet reported.

    Sums of losses stay on the device until `means` is called, so that the host never waits for a
    GPU between two reports.

    A step's loss is the mean over the batch's `accumulate` parts, and a part's loss is that of all
    its pairs together: each label term is the mean over the part's labels that count, however they
    are distributed among the processes of a team.

    Args:
        network: on its device.
        settings: of the training.
        spacing_mm: of the grid.
        team: the processes that share each batch.
        execution: how the network is run.

    Raises:
        DeviceError: the network cannot be trained by several processes.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: TrainSettings,
        spacing_mm: Sequence[float],
        *,
        team: Team = ALONE,
        execution: devices.Execution = devices.PLAIN,
    ) -> None:
        self.network = network.train()
        self.settings = settings
        self.team = team
        self.device = next(network.parameters()).device
        spacing = (float(spacing_mm[0]), float(spacing_mm[1]), float(spacing_mm[2]))
        self._objective = Objective(settings.losses, spacing, team if team.size > 1 else None)
        self._optimiser = GuardedAdamW(network, settings.training)
        decay = settings.training.average
        self._average = Average(network, decay) if decay else None
        self._execution = execution
        self._run = team.replicated(devices.executed(network, execution))
        self._sums = torch.zeros(
            len(self._objective.columns), dtype=torch.float64, device=self.device
        )
        # applied and skipped steps since the last report, skipped steps in a row, step of failure
        self._counts = torch.tensor([0, 0, 0, -1], device=self.device)

    @property
    def model(self) -> nn.Module:
        """The network that will be the model: the averaged one where weights are averaged."""
        return self.network if self._average is None else self._average.network

    def learn(self, batch: Batch, step: int) -> None:
        """Train on one batch; if the loss or gradient is not finite, the weights stay unchanged.

        Args:
            batch: this process's share.
            step: from 0.
        """
        devices.begin_step(self._execution, self.device)
        parts = batch.parts(self.settings.training.accumulate)
        values = torch.zeros_like(self._sums)
        for index, part in enumerate(parts):
            with self.team.apart(self._run, last=index == len(parts) - 1):
                terms = self._terms(part)
                # Processes' gradients are averaged, and their parts of the loss add up to it.
                torch.autograd.backward(terms[0] / len(parts) * self.team.size)
            values += terms.detach() / len(parts)
        values = self.team.total(values)
        good = self._optimiser.advance(learning_rate(self.settings.training, step), values[0])
        if self._average is not None:
            self._average.update(self.network, step)
        self._count(good, values, step)

    def _terms(self, batch: Batch) -> Float[Tensor, " k"]:
        """A batch's figures by the objective's columns; the first, the total, has a gradient."""
        field = forward(self._run, batch.moving, batch.fixed, self.settings)
        backward = None
        if self._objective.two_way:
            backward = forward(self._run, batch.fixed, batch.moving, self.settings)
        return torch.stack(list(self._objective(field, batch, backward).values()))

    def _count(self, good: Tensor, values: Tensor, step: int) -> None:
        self._sums += torch.where(good, values, 0)
        applied, skipped, run, failed = self._counts.unbind()
        run = torch.where(good, 0, run + 1)
        failed = torch.where((failed < 0) & (run >= PATIENCE), step, failed)
        self._counts = torch.stack([applied + good, skipped + ~good, run, failed])

    def failed_at(self) -> int | None:
        """The step at which too many in a row were not finite, or None; waits for the device."""
        step = int(self._counts[3])
        return step if step >= 0 else None

    def means(self) -> dict[str, float]:
        """Mean losses and the number of skipped steps since the last call; waits for the device."""
        applied, skipped = int(self._counts[0]), int(self._counts[1])
        row: dict[str, float] = {}
        if applied:
            means = (self._sums / applied).tolist()
            for name, mean in zip(self._objective.columns, means, strict=True):
                row[name] = mean
                if name in self._objective.weights:
                    row[f"{name}_weighted"] = self._objective.weights[name] * mean
        if applied or skipped:
            row["skipped"] = float(skipped)
        self._sums.zero_()
        self._counts[:2] = 0
        return row

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on: plain values and tensors."""
        return {
            "network": self.network.state_dict(),
            "average": None if self._average is None else self._average.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "sums": self._sums,
            "counts": self._counts,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a `state`."""
        self.network.load_state_dict(state["network"])
        if self._average is not None:
            self._average.network.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._sums = state["sums"].to(self.device)
        self._counts = state["counts"].to(self.device)


def forward(network: nn.Module, moving: Image, fixed: Image, settings: TrainSettings) -> Field:
    """The displacement field in the images' precision; the network runs in the configured one."""
    half = settings.training.precision == "bfloat16"
    with torch.autocast(moving.device.type, torch.bfloat16, enabled=half):
        field: Tensor = network(moving, fixed)
    return field.to(moving.dtype)
