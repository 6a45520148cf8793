"""Features whose channels lie innermost in memory, and instance normalisation of them on a CPU.

Convolutions run fastest in this layout. PyTorch's instance normalisation leaves it, and its kernels for
it lose four digits of float32; the one here keeps both, and works on blocks that stay in a core's cache
from one operation to the next, where whole tensors would be fetched from memory for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 1 << 18
"""Values worked on at a time: 1 MB in float32."""

EPSILON = 1e-5


def laid_out(features: Tensor) -> Tensor:
    """The same features, on a CPU with channels innermost in memory."""
    if features.device.type != "cpu":
        return features
    layout = torch.channels_last_3d if features.ndim == 5 else torch.channels_last
    return features.contiguous(memory_format=layout)


def instance_norm(
    features: Float[Tensor, "b c *space"], offset: Float[Tensor, " c"], *, linear: bool = False
) -> Float[Tensor, "b c *space"]:
    """Zero mean and unit variance of each channel of each sample, an offset, and a ReLU; differentiable once.

    Statistics are summed in the offset's precision, variances from centred values.

    Args:
        features: laid out anew if their channels are not innermost.
        offset: added to each channel.
        linear: whether there is no ReLU.

    Returns:
        in the features' precision, channels innermost.
    """
    result: Tensor = _InstanceNorm.apply(laid_out(features), offset, linear)  # type: ignore[no-untyped-call] # torch does not annotate it
    return result


class _InstanceNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, offset: Tensor, linear: bool) -> Tensor:  # noqa: ANN401, FBT001 - as autograd calls it
        given = _lines(features)
        mean, variance = _moments(given, offset)
        inverse = torch.rsqrt(variance + EPSILON)

        result = torch.empty_like(features)
        middle, factor, level = (_wide(of, given) for of in (mean, inverse, offset.expand_as(mean)))
        for part, block, out in _blocks(given, _lines(result)):
            values = torch.addcmul(level[part], block - middle[part], factor[part])
            out.copy_(values if linear else values.relu_())
        ctx.linear = linear
        ctx.save_for_backward(features, features if linear else result, mean, inverse)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:  # noqa: ANN401 - as autograd calls it
        features, result, mean, inverse = ctx.saved_tensors
        given, shown = _lines(features), _lines(result)
        towards = torch.empty_like(features)
        middle, push = _wide(mean, given), _lines(towards)
        pushes, leans = torch.zeros_like(mean), torch.zeros_like(mean)
        for part, values, block, above, slope in _blocks(push, given, shown, _lines(laid_out(gradient))):
            if ctx.linear:
                values.copy_(slope)
            else:
                torch.ops.aten.threshold_backward.grad_input(slope, above, 0, grad_input=values)
            exact = values.to(mean.dtype)
            pushes[part] += _sum(exact, mean)
            leans[part] += _sum((block - middle[part]).mul_(exact), mean)

        # What moves all voxels alike, or scales them about their mean, changes nothing.
        voxels = features[0, 0].numel()
        factor = _wide(inverse, given)
        shift, lean = _wide(-inverse * pushes / voxels, given), _wide(-(inverse**3) * leans / voxels, given)
        for part, values, block in _blocks(push, given):
            straight = torch.addcmul(shift[part], values.to(mean.dtype), factor[part])
            values.copy_(straight.addcmul_(block - middle[part], lean[part]))
        return towards, pushes.sum(0), None


def _moments(
    lines: Float[Tensor, "b lines values"], offset: Float[Tensor, " c"]
) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]:
    """Mean and variance of each channel of each sample, in the offset's precision.

    Blocks have moments of their own, about their own means, which are merged after Chan, Golub and
    LeVeque, The American Statistician 37 (1983).
    """
    mean, variance = offset.new_zeros((2, len(lines), len(offset)))
    moments = []
    for part, block in _blocks(lines):
        values = block.to(offset.dtype)
        voxels = values[0].numel() // len(offset)
        own = _sum(values, offset) / voxels
        spread = _sum((values - _wide(own, values)).square_(), offset) / voxels
        moments.append((part, len(values[0]) / lines.shape[1], own, spread))
    for part, share, own, _ in moments:
        mean[part] += share * own
    for part, share, own, spread in moments:
        variance[part] += share * (spread + (own - mean[part]).square())
    return mean, variance


def _lines(features: Float[Tensor, "b c *space"]) -> Float[Tensor, "b lines values"]:
    """The lines along the last axis, each voxel's channels side by side: a view."""
    return features.movedim(1, -1).flatten(-2).flatten(1, -2)


def _blocks(*lines: Float[Tensor, "b lines values"]) -> Iterator[tuple[Any, ...]]:
    """Whole samples where several fit, else parts of one: which samples, and the block of each tensor."""
    samples, count, values = lines[0].shape
    many, few = max(1, BLOCK // (count * values)), max(1, BLOCK // values)
    for sample in range(0, samples, many):
        part = slice(sample, sample + many)
        for line in range(0, count, few):
            yield part, *(tensor[part, line : line + few] for tensor in lines)


def _wide(
    values: Float[Tensor, "b c"], lines: Float[Tensor, "b lines values"]
) -> Float[Tensor, "b 1 values"]:
    """A number for each channel, repeated along a line: long rows are what vectorised loops run well on."""
    return values.repeat(1, lines.shape[-1] // values.shape[-1]).unsqueeze(1)


def _sum(block: Float[Tensor, "b lines values"], like: Float[Tensor, "*_ c"]) -> Float[Tensor, "b c"]:
    """Over the voxels of a block."""
    return block.reshape(len(block), -1, like.shape[-1]).sum(1)
