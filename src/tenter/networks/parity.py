"""What label-reg's graph does in its own way: where resized and transposed voxels lie, what a map maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from tenter.networks import blocks
from tenter.spatial import constants


def resize(features: Float[Tensor, "b c *inside"], shape: Sequence[int]) -> Float[Tensor, "b c *outside"]:
    """Resample linearly with first voxel centres on one another; differentiable.

    Voxel j of n' reads place j · n / n' of n, and beyond the last voxel the last one: TensorFlow's
    `resize_bilinear` with `align_corners=False`, before it knew of half pixels.

    Args:
        features: `[b, c, *inside]`.
        shape: voxels along each axis of the result.

    Returns:
        `[b, c, *shape]`.
    """
    matrices = []
    for cells, size in zip(features.shape[2:], shape, strict=True):
        places = torch.arange(size, dtype=torch.float32, device=features.device) * (cells / size)
        below = places.floor().long().clamp(max=cells - 1)
        above = (below + 1).clamp(max=cells - 1)
        share = (places - below)[:, None]
        identity = torch.eye(cells, dtype=torch.float32, device=features.device)
        matrices.append((1 - share) * identity[below] + share * identity[above])
    return blocks.along_axes(features, matrices)


def transposed(
    layer: nn.ConvTranspose2d | nn.ConvTranspose3d,
    features: Float[Tensor, "b i *half"],
    shape: Sequence[int],
) -> Float[Tensor, "b o *space"]:
    """A transposed convolution as the adjoint of TensorFlow's strided one with `SAME` padding.

    Of an even number of voxels `SAME` pads none before the first for a kernel of three and a
    stride of two, of an odd number one; PyTorch's own padding is the same on both sides.

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
    """A map of voxel coordinates in the grid's normalised centred ones, less the identity.

    Args:
        rows: `[b, d, d + 1]`, the first d rows of a homogeneous matrix whose origin is the first voxel.
        shape: voxels along each axis of the grid.

    Returns:
        `[b, d, d + 1]`.
    """
    half = constants.numbers([max(size - 1, 1) / 2 for size in shape], rows)
    centre = constants.numbers([(size - 1) / 2 for size in shape], rows)
    linear = rows[:, :, :-1] - torch.eye(len(shape), dtype=rows.dtype, device=rows.device)
    shift = linear @ centre + rows[:, :, -1]
    return torch.cat([linear * half, shift[..., None]], dim=2) / half[:, None]
