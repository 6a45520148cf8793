"""The blocks that networks are built of, in two or three dimensions.

On a CPU convolutions run about twice as fast on tensors whose channels lie innermost, so
`side_by_side` lays the input out so and everything after keeps it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from tenter.networks import innermost
from tenter.networks.normalisation import Kind, Normalisation
from tenter.shapes import Field, Image

CONVOLUTION: dict[int, type[nn.Conv2d | nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, type[nn.ConvTranspose2d | nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}


def side_by_side(
    moving: Float[Tensor, "b m *space"], fixed: Float[Tensor, "b f *space"]
) -> Float[Tensor, "b c *space"]:
    """Both images as channels of one, moving first."""
    return innermost.laid_out(torch.cat([moving, fixed], dim=1))


def resize(features: Float[Tensor, "b c *inside"], shape: Sequence[int]) -> Float[Tensor, "b c *outside"]:
    """Resample linearly in each axis, voxel blocks aligned (`align_corners=False`); differentiable.

    The same as `functional.interpolate(..., mode="trilinear")`, as one small matrix an axis:
    four times as fast on a CPU, where it also keeps channels innermost.

    Args:
        features: `[b, c, *inside]`.
        shape: voxels along each axis of the result.

    Returns:
        `[b, c, *shape]`.
    """
    if features.shape[2:] == torch.Size(shape):
        return features
    matrices = []
    for cells, size in zip(features.shape[2:], shape, strict=True):
        identity = torch.eye(cells, dtype=torch.float32, device=features.device)
        rows = functional.interpolate(identity[None], size, mode="linear", align_corners=False)[0]
        matrices.append(rows.mT)
    return along_axes(features, matrices)


def along_axes(
    features: Float[Tensor, "b c *inside"], matrices: Sequence[Float[Tensor, "_ _"]]
) -> Float[Tensor, "b c *outside"]:
    """Apply a matrix to the lines along each axis, outside autocast; differentiable.

    Args:
        features: `[b, c, *inside]`.
        matrices: one an axis, `[outside, inside]`.

    Returns:
        `[b, c, *outside]`, channels innermost.
    """
    values = features.movedim(1, -1)
    for axis in reversed(range(len(matrices))):
        sizes = list(values.shape)
        lines = values.reshape(math.prod(sizes[: axis + 1]), sizes[axis + 1], -1)
        sizes[axis + 1] = len(matrices[axis])
        # Autocast would round displacements to three digits here.
        with torch.autocast(lines.device.type, enabled=False):
            values = (matrices[axis].to(lines.dtype) @ lines).reshape(sizes)
    return values.movedim(-1, 1)


def halve(features: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *half"]:
    """The largest of each 2 x 2 x 2 voxels; an odd last plane counts as a whole one."""
    pool = functional.max_pool3d if features.ndim == 5 else functional.max_pool2d
    result: Tensor = pool(features, kernel_size=2, ceil_mode=True)
    return result


def convolve(
    layer: Callable[[Tensor], Tensor], features: Float[Tensor, "b i *inside"], kernel: int
) -> Float[Tensor, "b o *outside"]:
    """Convolve, in float32 where half precision cannot be trusted.

    On a CPU, oneDNN's bfloat16 convolutions of grids that are shorter than the kernel along an axis
    return weight gradients of uninitialised memory, or write beyond their own (PyTorch 2.13).

    Args:
        layer: the convolution.
        features: `[b, i, *inside]`.
        kernel: its width.

    Returns:
        what the layer returns.
    """
    if features.device.type != "cpu" or min(features.shape[2:]) >= kernel:
        return layer(features)
    with torch.autocast("cpu", enabled=False):
        return layer(features.float() if features.dtype == torch.bfloat16 else features)


class Convolution(nn.Module):
    """Convolution without bias, normalisation, and a ReLU unless `linear`.

    Weights are drawn as label-reg draws them (Glorot and Bengio, AISTATS 2010, uniform).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        norm: Kind,
        *,
        kernel: int = 3,
        stride: int = 1,
        linear: bool = False,
        dimensions: int = 3,
    ) -> None:
        """Draw the weights."""
        super().__init__()
        self.convolution = CONVOLUTION[dimensions](
            inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False
        )
        nn.init.xavier_uniform_(self.convolution.weight)
        self.normalisation = Normalisation(outputs, norm, linear=linear)
        self.kernel = kernel

    def forward(self, features: Float[Tensor, "b i *inside"]) -> Float[Tensor, "b o *outside"]:
        """`[b, i, *space]` to `[b, o, *space / stride]`, sizes rounded up."""
        result: Tensor = self.normalisation(self.convolved(features))
        return result

    def convolved(self, features: Float[Tensor, "b i *inside"]) -> Float[Tensor, "b o *outside"]:
        """The same before it is normalised."""
        return convolve(self.convolution, features, self.kernel)


def residual(
    first: Convolution, second: Convolution, features: Float[Tensor, "b i *space"]
) -> Float[Tensor, "b o *space"]:
    """`second(first(features))`, without keeping what the second one convolves."""

    def between(given: Tensor) -> Tensor:
        return second.convolved(first.normalisation(given))

    result: Tensor = second.normalisation(
        normalised_again(between, first.normalisation, first.convolved(features))
    )
    return result


def normalised_again(
    function: Callable[[Tensor], Tensor], norm: Normalisation, features: Float[Tensor, "b i *space"]
) -> Tensor:
    """A function that begins with a normalisation; the backward pass normalises once more.

    What is normalised is not kept meanwhile: less memory for a little more time. In half precision, where
    it is half as large, it is kept. A convolution at the end is not run again, as PyTorch stops before it.
    """
    half = features.element_size() < 4
    if half or norm.kind == "batch":  # a second run would count the batch twice
        return function(features)
    result: Tensor = checkpoint(function, features, use_reentrant=False, preserve_rng_state=False)
    return result


class ResidualDown(nn.Module):
    """label-reg's encoder block: a convolution, a residual unit of two more, and a halving."""

    def __init__(
        self, inputs: int, outputs: int, norm: Kind, *, kernel: int = 3, dimensions: int = 3
    ) -> None:
        """Draw the weights; `kernel` is the first convolution's."""
        super().__init__()
        self.enter = Convolution(inputs, outputs, norm, kernel=kernel, dimensions=dimensions)
        self.first = Convolution(outputs, outputs, norm, dimensions=dimensions)
        self.second = Convolution(outputs, outputs, norm, linear=True, dimensions=dimensions)

    def forward(
        self, features: Float[Tensor, "b i *space"]
    ) -> tuple[Float[Tensor, "b o *space"], Float[Tensor, "b o *half"]]:
        """The features before the residual unit, which are the skip; and the block's output."""
        entered = self.enter(features)
        return entered, halve(residual(self.first, self.second, entered).add_(entered).relu_())


class FieldHead(nn.Module):
    """A convolution from features to displacement; all zero at first. Always in float32."""

    def __init__(self, inputs: int, dimensions: int = 3, *, kernel: int = 3) -> None:
        """Set all weights to zero."""
        super().__init__()
        self.convolution = CONVOLUTION[dimensions](inputs, dimensions, kernel, padding=kernel // 2)
        nn.init.zeros_(self.convolution.weight)
        if self.convolution.bias is not None:
            nn.init.zeros_(self.convolution.bias)

    def forward(self, features: Image) -> Field:
        """`[b, c, *space]` to `[b, d, *space]`, in voxels."""
        layer = self.convolution
        with torch.autocast(features.device.type, enabled=False):
            field = _planewise(features.to(layer.weight.dtype), layer.weight)
            return field if layer.bias is None else field + layer.bias.view(-1, *[1] * (field.ndim - 2))


def _planewise(
    features: Float[Tensor, "b c *space"], weight: Float[Tensor, "d c *kernel"]
) -> Float[Tensor, "b d *space"]:
    """A convolution to few channels, as one of each plane of its kernel to several times as many.

    Equal to rounding. A processor computes sixteen outputs of a voxel at a time or none; of three it
    wastes most.
    """
    planes, width, count = weight.movedim(2, 0).flatten(0, 1), weight.shape[2], features.shape[2]
    convolved = functional.conv3d if features.ndim == 5 else functional.conv2d
    parts = convolved(features, planes.unsqueeze(2), padding=(0, *(size // 2 for size in weight.shape[3:])))
    along = (0, 0) * (features.ndim - 3)
    parts = functional.pad(
        parts.view(len(parts), width, -1, *parts.shape[2:]), (*along, width // 2, width // 2)
    )
    return torch.stack([parts[:, at, :, at : at + count] for at in range(width)]).sum(dim=0)
