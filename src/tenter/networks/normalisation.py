"""Normalisation of features: zero mean, unit variance, a learned offset, then a ReLU."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from tenter.config.networks import Norm
from tenter.networks import channels_last

GROUPS = 8
MOMENTUM = 0.1

Kind = Norm | Literal["label-reg"]
"""The normalisation: as configured, or label-reg's."""

LABELREG_EPSILON = 1e-3
"""TensorFlow's default, which label-reg uses."""


class Normalisation(nn.Module):
    """Zero mean and unit variance, then a learned offset; no learned scale, as in label-reg.

    A scale would have no effect: a ReLU and another normalised convolution follow nearly
    everywhere, and both are invariant to it.

    `instance`: over the voxels of each channel of each sample. `group`: over eight groups of
    channels. `batch`: over the batch in training, by running averages afterwards.
    `label-reg`: always over the batch, which for a single sample is `instance`. If each group
    holds a single value (`instance` at one voxel), it has no variance, and only the offset is
    added.
    """

    mean: Tensor
    variance: Tensor
    scale: Tensor

    def __init__(self, channels: int, kind: Kind, *, linear: bool = True) -> None:
        """Start with zero offset; a ReLU follows unless `linear`."""
        super().__init__()
        self.kind = kind
        self.linear = linear
        self.groups = math.gcd(channels, GROUPS) if kind == "group" else channels
        self.offset = nn.Parameter(torch.zeros(channels))
        # Some kernels accept an offset only together with a scale; this one is not trained.
        self.register_buffer("scale", torch.ones(channels), persistent=False)
        if kind == "batch":
            self.register_buffer("mean", torch.zeros(channels))
            self.register_buffer("variance", torch.ones(channels))

    def forward(self, features: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        """Normalise `[b, c, *space]`."""
        alone = 1 if self.kind in {"batch", "label-reg"} else len(features)
        single = features.numel() == alone * self.groups
        if single and (self.training or self.kind != "batch"):
            result = features + self.offset.view(-1, *[1] * (features.ndim - 2))
        elif self.kind == "instance" and features.device.type == "cpu":
            return channels_last.instance_norm(features, self.offset, linear=self.linear)
        else:
            result = self._normalised(features)
        return result if self.linear else functional.relu(result, inplace=True)

    def _normalised(self, features: Tensor) -> Tensor:
        if self.kind == "batch":
            return self._by_averages(features)
        if self.kind == "label-reg":
            return functional.batch_norm(
                features, None, None, self.scale, self.offset, training=True, eps=LABELREG_EPSILON
            )
        if self.kind == "instance":
            return functional.instance_norm(
                features, weight=self.scale, bias=self.offset, eps=channels_last.EPSILON
            )
        return functional.group_norm(
            features.contiguous(), self.groups, self.scale, self.offset, channels_last.EPSILON
        )

    def _by_averages(self, features: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        return functional.batch_norm(
            features,
            self.mean,
            self.variance,
            self.scale,
            self.offset,
            self.training,
            MOMENTUM,
            channels_last.EPSILON,
        )
