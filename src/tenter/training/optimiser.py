"""The optimiser: learning-rate schedule, a guarded AdamW, and the moving average of weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from tenter.config import Training
from tenter.tensors import Scalar


def learning_rate(training: Training, step: int) -> float:
    """The learning rate of a step: a linear warm-up, then the schedule over the remaining steps.

    Args:
        training: base rate, warm-up, schedule and number of steps.
        step: from 0.
    """
    if step < training.warmup:
        return training.learning_rate * (step + 1) / training.warmup
    if training.schedule == "steps":
        drops = sum(step >= drop for drop in training.decay_at)
        return training.learning_rate * math.pow(training.decay, drops)
    progress = (step - training.warmup) / (training.steps - training.warmup)
    if training.schedule == "cosine":
        return training.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
    if training.schedule == "exponential":
        return training.learning_rate * math.pow(training.decay, progress)
    return training.learning_rate


class GuardedAdamW(torch.optim.AdamW):
    """AdamW (Loshchilov and Hutter, 2019) that skips the step if the gradient is not finite.

    This is decided on the device, by the fused kernels' `found_inf`, so that the host never waits
    for a GPU.
    """

    found_inf: Tensor

    def __init__(self, network: nn.Module, training: Training) -> None:
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        super().__init__(
            parameters, lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
        )
        self._parameters = parameters
        self._clip = training.clip

    def advance(self, rate: float, loss: Scalar) -> Bool[Tensor, ""]:
        """Apply the gradients, clipped to the configured norm, if they and the loss are finite.

        Args:
            rate: learning rate.
            loss: whose gradients are applied.

        Returns:
            whether the step was applied, as a tensor on the device.
        """
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if self._clip is not None:
            nn.utils.clip_grads_with_norm_(self._parameters, self._clip, norm)
        finite = torch.isfinite(norm) & torch.isfinite(loss.detach())
        self.found_inf = (~finite).to(torch.float32)
        for group in self.param_groups:
            group["lr"] = rate
        self.step()
        self.zero_grad(set_to_none=True)
        return finite


class Average:
    """The exponential moving average of a network's weights (Polyak and Juditsky, 1992).

    Early on the decay is (1 + t) / (10 + t), so that the first weights are soon forgotten.

    Attributes:
        network: a copy with the averaged weights; its buffers are the latest.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Update the average with the weights after step `step` (from 0)."""
        decay = min(self._decay, (1 + step) / (10 + step))
        averaged: list[Tensor] = list(self.network.parameters())
        latest: list[Tensor] = list(network.parameters())
        torch._foreach_lerp_(averaged, latest, 1 - decay)
        _copy(list(self.network.buffers()), list(network.buffers()))


def _copy(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)
