"""How features are normalised: zero mean, unit variance, a learned offset, and the ReLU that follows."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from tenter.config.networks import Norm

GROUPS = 8
EPSILON = 1e-5
MOMENTUM = 0.1

Kind = Norm | Literal["label-reg"]
"""How features are normalised: as configured, or as label-reg does it."""

LABELREG_EPSILON = 1e-3
"""TensorFlow's default, which label-reg leaves as it is."""


class Normalisation(nn.Module):
    """Zero mean and unit variance, then a learned offset; no learned scale, as in label-reg.

    A scale would be idle: a ReLU and another normalised convolution follow nearly
    everywhere, and neither sees it.

    `instance`: over the voxels of each channel of each sample. `group`: over eight groups of
    channels. `batch`: over the batch while training, by running averages afterwards.
    `label-reg`: over the batch always, which for a single sample is `instance`. Where a single
    value remains to normalise by itself (`instance` at one voxel), there is no variance, and the
    values pass through to the offset.
    """

    mean: Tensor
    variance: Tensor
    scale: Tensor

    def __init__(self, channels: int, kind: Kind, *, linear: bool = True) -> None:
        """Start with no offset; a ReLU follows unless `linear`."""
        super().__init__()
        self.kind = kind
        self.linear = linear
        self.groups = math.gcd(channels, GROUPS) if kind == "group" else channels
        self.offset = nn.Parameter(torch.zeros(channels))
        # Some kernels take an offset only beside a scale; this one is no weight.
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
            return innermost_instance(features, self.scale, self.offset, linear=self.linear)
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
            return functional.instance_norm(features, weight=self.scale, bias=self.offset, eps=EPSILON)
        return functional.group_norm(features.contiguous(), self.groups, self.scale, self.offset, EPSILON)

    def _by_averages(self, features: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        return functional.batch_norm(
            features, self.mean, self.variance, self.scale, self.offset, self.training, MOMENTUM, EPSILON
        )


def innermost_instance(
    features: Float[Tensor, "b c *space"],
    scale: Float[Tensor, " c"],
    offset: Float[Tensor, " c"],
    *,
    linear: bool = False,
) -> Float[Tensor, "b c *space"]:
    """Instance normalisation and a ReLU on features whose channels lie innermost; differentiable once.

    PyTorch's own lays the features out anew and leaves them so, and the convolution that follows runs
    in the slower layout. This one is as exact: variances are sums of centred squares, where PyTorch's
    kernels for this layout lose four digits.

    Args:
        features: laid out anew if their channels are not innermost.
        scale: factor of each channel; has no gradient.
        offset: added to each channel, after the factor.
        linear: whether there is no ReLU.
    """
    result: Tensor = _InnermostInstance.apply(features, scale, offset, linear)  # type: ignore[no-untyped-call] # torch does not annotate it
    return result


def innermost(features: Tensor) -> Tensor:
    """The same features, on a CPU with channels innermost in memory."""
    if features.device.type != "cpu":
        return features
    layout = torch.channels_last_3d if features.ndim == 5 else torch.channels_last
    return features.contiguous(memory_format=layout)


class _InnermostInstance(torch.autograd.Function):
    """A sample alone is a batch whose statistics are its own: PyTorch's kernels, sample by sample."""

    @staticmethod
    def forward(*given: Any) -> Tensor:  # noqa: ANN401 - as autograd calls it
        ctx, features, scale, offset, linear = given
        features = innermost(features)
        lines, exact = features.movedim(1, -1).flatten(1, -2), scale.dtype
        mean = lines.mean(1, dtype=exact)
        variance = (lines - mean[:, None].to(lines.dtype)).square_().mean(1, dtype=exact)
        result, nothing = torch.empty_like(features), scale.new_empty(0)
        kept = {
            "training": False,
            "momentum": 0.0,
            "eps": EPSILON,
            "save_mean": nothing,
            "save_invstd": nothing,
        }
        for one, sample in enumerate(torch.split(features, 1)):
            torch.ops.aten.native_batch_norm.out(
                sample, scale, offset, mean[one], variance[one], out=result[one : one + 1], **kept
            )
        ctx.linear = linear
        if not linear:
            result.relu_()
        ctx.save_for_backward(features, features if linear else result, scale, mean, variance)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 - as autograd calls it
        features, result, scale, mean, variance = ctx.saved_tensors
        gradient = innermost(gradients[0])
        if not ctx.linear:
            gradient = torch.ops.aten.threshold_backward(gradient, result, 0)
        towards, inverse = torch.empty_like(features), torch.rsqrt(variance + EPSILON)
        offsets, unused = torch.empty_like(mean), torch.empty_like(scale)
        wanted = {"train": True, "eps": EPSILON, "output_mask": [True, True, True]}
        for one, sample in enumerate(torch.split(features, 1)):
            part = slice(one, one + 1)
            torch.ops.aten.native_batch_norm_backward.out(
                gradient[part], sample, scale, None, None, mean[one], inverse[one], **wanted,
                out0=towards[part], out1=unused, out2=offsets[one],
            )  # fmt: skip
        return towards, None, offsets.sum(0), None
