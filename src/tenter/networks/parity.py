"""label-reg's conventions: alignment of resized and transposed voxels, coordinates of its maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from tenter.networks import blocks
from tenter.spatial import constants


def resize(
    features: Float[Tensor, "b c *inside"], shape: Sequence[int]
) -> Float[Tensor, "b c *outside"]:
    """Resample linearly with aligned first voxel centres; differentiable.

    Voxel j of n' is read at position j · n / n' of n, clamped to the last voxel: TensorFlow's
    `resize_bilinear` with `align_corners=False` and without half-pixel centres.

    Args:
        features: `[b, c, *inside]`.
        shape: voxels along each axis of the result.

    Returns:
        `[b, c, *shape]`.
    """
    matrices = []
    for cells, size in zip(features.shape[2:], shape, strict=True):
        positions = torch.arange(size, dtype=torch.float32, device=features.device) * (cells / size)
        below = positions.floor().long().clamp(max=cells - 1)
        above = (below + 1).clamp(max=cells - 1)
        share = (positions - below)[:, None]
        identity = torch.eye(cells, dtype=torch.float32, device=features.device)
        matrices.append((1 - share) * identity[below] + share * identity[above])
    return blocks.along_axes(features, matrices)


def transposed(
    layer: nn.ConvTranspose2d | nn.ConvTranspose3d,
    features: Float[Tensor, "b i *half"],
    shape: Sequence[int],
) -> Float[Tensor, "b o *space"]:
    """A transposed convolution as the adjoint of TensorFlow's strided one with `SAME` padding.

    For a kernel of three and a stride of two, `SAME` pads no voxel before the first if their
    number is even, and one if it is odd; PyTorch's own padding is the same on both sides.

    Args:
        layer: of kernel 3 and stride 2, without bias; its own padding is not used.
        features: `[b, i, *half]`, sizes rounded up.
        shape: voxels along each axis of the result.

    Returns:
        `[b, o, *shape]`.
    """
    convolve = functional.conv_transpose3d if features.ndim == 5 else functional.conv_transpose2d
    result: Tensor = convolve(features, layer.weight, stride=2)
    for axis, size in enumerate(shape):
        result = result.narrow(2 + axis, size % 2, size)
    return result


def centred_change(rows: Float[Tensor, "b d e"], shape: Sequence[int]) -> Float[Tensor, "b d e"]:
    """Convert a map of voxel coordinates to normalised centred ones, and subtract the identity.

    Args:
        rows: `[b, d, d + 1]`, the first d rows of a homogeneous matrix whose origin is the first
            voxel.
        shape: voxels along each axis of the grid.

    Returns:
        `[b, d, d + 1]`.
    """
    half = constants.numbers([max(size - 1, 1) / 2 for size in shape], rows)
    centre = constants.numbers([(size - 1) / 2 for size in shape], rows)
    linear = rows[:, :, :-1] - torch.eye(len(shape), dtype=rows.dtype, device=rows.device)
    shift = linear @ centre + rows[:, :, -1]
    return torch.cat([linear * half, shift[..., None]], dim=2) / half[:, None]
