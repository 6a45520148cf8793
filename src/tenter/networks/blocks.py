"""Building blocks of networks, in two or three dimensions.

On a CPU, convolutions run about twice as fast on tensors whose channels lie innermost in memory;
`side_by_side` converts the input to this layout, and all later operations keep it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from tenter.networks import channels_last
from tenter.networks.normalisation import Kind, Normalisation
from tenter.tensors import Field, Image

CONVOLUTION: dict[int, type[nn.Conv2d | nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, type[nn.ConvTranspose2d | nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}


def side_by_side(
    moving: Float[Tensor, "b m *space"], fixed: Float[Tensor, "b f *space"]
) -> Float[Tensor, "b c *space"]:
    """Both images concatenated along the channels, moving first."""
    return channels_last.laid_out(torch.cat([moving, fixed], dim=1))


def resize(
    features: Float[Tensor, "b c *inside"], shape: Sequence[int]
) -> Float[Tensor, "b c *outside"]:
    """Resample linearly along each axis, with `align_corners=False`; differentiable.

    Equivalent to `functional.interpolate(..., mode="trilinear")`, but computed with one small
    matrix per axis: four times as fast on a CPU, where it also keeps channels innermost.

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
        matrices: one per axis, `[outside, inside]`.

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
    """Max-pooling over 2 x 2 x 2 voxels; an odd last plane is pooled by itself."""
    pool = functional.max_pool3d if features.ndim == 5 else functional.max_pool2d
    result: Tensor = pool(features, kernel_size=2, ceil_mode=True)
    return result


def convolve(
    layer: Callable[[Tensor], Tensor], features: Float[Tensor, "b i *inside"], kernel: int
) -> Float[Tensor, "b o *outside"]:
    """Convolve, in float32 where half precision is unreliable.

    On a CPU, oneDNN's bfloat16 convolutions of grids that are shorter than the kernel along an axis
    return weight gradients from uninitialised memory, or write out of bounds (PyTorch 2.13).

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

    Weights are initialised as in label-reg (Glorot and Bengio, AISTATS 2010, uniform).
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
        """The convolution alone, before normalisation."""
        return convolve(self.convolution, features, self.kernel)


def residual(
    first: Convolution, second: Convolution, features: Float[Tensor, "b i *space"]
) -> Float[Tensor, "b o *space"]:
    """`second(first(features))`, without storing the second convolution's input."""

    def between(convolved: Tensor) -> Tensor:
        return second.convolved(first.normalisation(convolved))

    result: Tensor = second.normalisation(
        normalised_again(between, first.normalisation, first.convolved(features))
    )
    return result


def normalised_again(
    function: Callable[[Tensor], Tensor], norm: Normalisation, features: Float[Tensor, "b i *space"]
) -> Tensor:
    """Apply a function that begins with a normalisation, recomputing that in the backward pass.

    The normalised features are not stored: less memory for a little more time. In half precision,
    where they take half as much, they are stored. A convolution at the end is not recomputed, as
    PyTorch stops before it.
    """
    half = features.element_size() < 4
    if half or norm.kind == "batch":  # recomputation would update the running averages twice
        return function(features)
    result: Tensor = checkpoint(function, features, use_reentrant=False, preserve_rng_state=False)
    return result


class ResidualDown(nn.Module):
    """label-reg's encoder block: a convolution, a residual unit of two more, and pooling."""

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
        """The features before the residual unit, which are the skip, and the block's output."""
        entered = self.enter(features)
        return entered, halve(residual(self.first, self.second, entered).add_(entered).relu_())


class FieldHead(nn.Module):
    """A convolution from features to displacement, initially zero; always in float32."""

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
            return (
                field
                if layer.bias is None
                else field + layer.bias.view(-1, *[1] * (field.ndim - 2))
            )


def _planewise(
    features: Float[Tensor, "b c *space"], weight: Float[Tensor, "d c *kernel"]
) -> Float[Tensor, "b d *space"]:
    """A convolution to few channels, computed plane by plane of its kernel.

    The planes' outputs are computed as additional channels and then summed; equal up to rounding.
    A CPU computes sixteen output channels at a time, so that with only three most would be wasted.
    """
    planes, width, count = weight.movedim(2, 0).flatten(0, 1), weight.shape[2], features.shape[2]
    convolved = functional.conv3d if features.ndim == 5 else functional.conv2d
    parts = convolved(
        features, planes.unsqueeze(2), padding=(0, *(size // 2 for size in weight.shape[3:]))
    )
    along = (0, 0) * (features.ndim - 3)
    parts = functional.pad(
        parts.view(len(parts), width, -1, *parts.shape[2:]), (*along, width // 2, width // 2)
    )
    return torch.stack([parts[:, at, :, at : at + count] for at in range(width)]).sum(dim=0)
