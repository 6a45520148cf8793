"""The channels-innermost memory layout, and instance normalisation in it on a CPU.

Convolutions run fastest in this layout. PyTorch's instance normalisation changes the layout, and
its kernels for it lose four digits of float32. The implementation here keeps layout and precision;
it works on blocks that stay in a core's cache between operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 1 << 18
"""Values processed at a time: 1 MB in float32."""

EPSILON = 1e-5


def laid_out(features: Tensor) -> Tensor:
    """The same features; on a CPU, with channels innermost in memory."""
    if features.device.type != "cpu":
        return features
    layout = torch.channels_last_3d if features.ndim == 5 else torch.channels_last
    return features.contiguous(memory_format=layout)


def instance_norm(
    features: Float[Tensor, "b c *space"], offset: Float[Tensor, " c"], *, linear: bool = False
) -> Float[Tensor, "b c *space"]:
    """Instance normalisation, plus an offset, then a ReLU; differentiable once.

    Each channel of each sample gets zero mean and unit variance. Statistics are summed in the
    offset's precision, variances from centred values.

    Args:
        features: copied if their channels are not innermost.
        offset: added to each channel.
        linear: leave out the ReLU.

    Returns:
        in the features' precision, channels innermost.
    """
    # torch does not annotate it
    result: Tensor = _InstanceNorm.apply(  # type: ignore[no-untyped-call]
        laid_out(features), offset, linear
    )
    return result


class _InstanceNorm(torch.autograd.Function):
    # Signatures as autograd calls them.
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        features: Tensor,
        offset: Tensor,
        linear: bool,  # noqa: FBT001
    ) -> Tensor:
        lines = _lines(features)
        mean, variance = _moments(lines, offset)
        inverse = torch.rsqrt(variance + EPSILON)

        result = torch.empty_like(features)
        wide_mean, wide_inverse, wide_offset = (
            _wide(moments, lines) for moments in (mean, inverse, offset.expand_as(mean))
        )
        for part, block, out in _blocks(lines, _lines(result)):
            values = torch.addcmul(wide_offset[part], block - wide_mean[part], wide_inverse[part])
            out.copy_(values if linear else values.relu_())
        ctx.linear = linear
        ctx.save_for_backward(features, features if linear else result, mean, inverse)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:  # noqa: ANN401
        features, result, mean, inverse = ctx.saved_tensors
        lines, output_lines = _lines(features), _lines(result)
        grad_input = torch.empty_like(features)
        wide_mean, grad_lines = _wide(mean, lines), _lines(grad_input)
        sum_grad, sum_grad_x = torch.zeros_like(mean), torch.zeros_like(mean)
        for part, grad, x, output, grad_output in _blocks(
            grad_lines, lines, output_lines, _lines(laid_out(gradient))
        ):
            if ctx.linear:
                grad.copy_(grad_output)
            else:
                torch.ops.aten.threshold_backward.grad_input(
                    grad_output, output, 0, grad_input=grad
                )
            grad_precise = grad.to(mean.dtype)
            sum_grad[part] += _sum(grad_precise, mean)
            sum_grad_x[part] += _sum((x - wide_mean[part]).mul_(grad_precise), mean)

        # The output is invariant to a shift or scale of the input: remove these components.
        voxels = features[0, 0].numel()
        wide_inverse = _wide(inverse, lines)
        shift, x_factor = (
            _wide(-inverse * sum_grad / voxels, lines),
            _wide(-(inverse**3) * sum_grad_x / voxels, lines),
        )
        for part, grad, x in _blocks(grad_lines, lines):
            grad_x = torch.addcmul(shift[part], grad.to(mean.dtype), wide_inverse[part])
            grad.copy_(grad_x.addcmul_(x - wide_mean[part], x_factor[part]))
        return grad_input, sum_grad.sum(0), None


def _moments(
    lines: Float[Tensor, "b lines values"], offset: Float[Tensor, " c"]
) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]:
    """Mean and variance of each channel of each sample, in the offset's precision.

    Moments are computed per block, about the block's mean, and merged after Chan, Golub and
    LeVeque, The American Statistician 37 (1983).
    """
    mean, variance = offset.new_zeros((2, len(lines), len(offset)))
    moments = []
    for part, block in _blocks(lines):
        values = block.to(offset.dtype)
        voxels = values[0].numel() // len(offset)
        block_mean = _sum(values, offset) / voxels
        block_variance = _sum((values - _wide(block_mean, values)).square_(), offset) / voxels
        moments.append((part, len(values[0]) / lines.shape[1], block_mean, block_variance))
    for part, share, block_mean, _ in moments:
        mean[part] += share * block_mean
    for part, share, block_mean, block_variance in moments:
        variance[part] += share * (block_variance + (block_mean - mean[part]).square())
    return mean, variance


def _lines(features: Float[Tensor, "b c *space"]) -> Float[Tensor, "b lines values"]:
    """A view as lines along the last axis, with each voxel's channels side by side."""
    return features.movedim(1, -1).flatten(-2).flatten(1, -2)


def _blocks(*lines: Float[Tensor, "b lines values"]) -> Iterator[tuple[Any, ...]]:
    """Blocks of several samples, or parts of one: the slice of samples, and each tensor's block."""
    samples, count, values = lines[0].shape
    many, few = max(1, BLOCK // (count * values)), max(1, BLOCK // values)
    for sample in range(0, samples, many):
        part = slice(sample, sample + many)
        for line in range(0, count, few):
            yield part, *(tensor[part, line : line + few] for tensor in lines)


def _wide(
    values: Float[Tensor, "b c"], lines: Float[Tensor, "b lines values"]
) -> Float[Tensor, "b 1 values"]:
    """One value per channel, repeated along a line, as vectorised loops run best on long rows."""
    return values.repeat(1, lines.shape[-1] // values.shape[-1]).unsqueeze(1)


def _sum(
    block: Float[Tensor, "b lines values"], like: Float[Tensor, "*_ c"]
) -> Float[Tensor, "b c"]:
    """Sum over the voxels of a block, for each channel."""
    return block.reshape(len(block), -1, like.shape[-1]).sum(1)
