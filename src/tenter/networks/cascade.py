"""A cascade of dense networks, coarse to fine; each refines the field of those before it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tenter import config
from tenter.networks import blocks, build
from tenter.spatial import compose, constants, warp
from tenter.tensors import Field, Image


class CascadeNet(nn.Module):
    """Each stage sees the fixed image and the moving image warped by the total field so far.

    After the recursive cascades of Zhao et al. (ICCV 2019), here with a separate resolution for
    each stage, as in Mok and Chung's Laplacian pyramid (MICCAI 2020): both images are averaged
    over blocks of voxels, and the stage's field is resized and composed with the total, so that
    images are always warped once, from the original. All stages are trained jointly.
    """

    def __init__(
        self, settings: config.CascadeNetwork, channels: tuple[int, int], dimensions: int = 3
    ) -> None:
        """Draw the weights.

        Args:
            settings: factor of each stage, and the architecture that all share.
            channels: of the moving and of the fixed image.
            dimensions: 3, or 2.
        """
        super().__init__()
        self.factors = settings.factors
        self.stages = nn.ModuleList(
            build(settings.network, channels, dimensions) for _ in settings.factors
        )

    def forward(
        self, moving: Float[Tensor, "b m *space"], fixed: Float[Tensor, "b f *space"]
    ) -> Field:
        """The total field in voxels, `[b, d, *space]`."""
        total = self._stage(0, moving, fixed)
        for index in range(1, len(self.stages)):
            total = compose.compose(total, self._stage(index, warp.warp(moving, total), fixed))
        return total

    def _stage(
        self, index: int, moving: Float[Tensor, "b m *space"], fixed: Float[Tensor, "b f *space"]
    ) -> Field:
        factor = self.factors[index]
        field: Field = self.stages[index](averaged(moving, factor), averaged(fixed, factor))
        return enlarged(field, fixed.shape[2:])


def averaged(image: Image, factor: int) -> Float[Tensor, "b c *cells"]:
    """Means over equal blocks of `factor` voxels along each axis, or slightly fewer to fit.

    Args:
        image: `[b, c, *space]`.
        factor: at least 1.

    Returns:
        `[b, c, *cells]`, sizes divided by the factor and rounded up.
    """
    if factor == 1:
        return image
    matrices = []
    for size in image.shape[2:]:
        cells = -(-size // factor)
        voxels = torch.arange(size, device=image.device)
        starts = torch.arange(cells, device=image.device)[:, None] * (size / cells)
        shared = torch.minimum(starts + size / cells, voxels + 1) - torch.maximum(starts, voxels)
        matrices.append(shared.clamp(min=0) * (cells / size))
    return blocks.along_axes(image, matrices)


def enlarged(field: Float[Tensor, "b d *cells"], shape: Sequence[int]) -> Field:
    """A coarse grid's displacement on a finer grid over the same space.

    Args:
        field: `[b, d, *cells]`, voxels of the coarse grid.
        shape: voxels along each axis of the finer grid.

    Returns:
        `[b, d, *shape]`, voxels of the finer grid.
    """
    cells = field.shape[2:]
    if tuple(cells) == tuple(shape):
        return field
    factors = [size / count for size, count in zip(shape, cells, strict=True)]
    factor = constants.numbers(factors, field).view(1, -1, *[1] * len(shape))
    return blocks.resize(field, shape) * factor
