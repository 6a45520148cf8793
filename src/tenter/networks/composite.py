"""Composite-Net: an affine network, then a dense one that sees the affinely warped moving image."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from tenter import config
from tenter.networks import build
from tenter.spatial import compose, warp
from tenter.tensors import Field


class CompositeNet(nn.Module):
    """Both parts are trained jointly, through the composition of their maps.

    label-reg (Hu et al., 2018) adds the two displacements, which is not the map by which the
    dense part saw the image. Here a fixed point is mapped by the dense map first and then by the
    affine one, so that warping once by the total equals warping twice. With `parity` the
    displacements are added.
    """

    def __init__(
        self, settings: config.CompositeNetwork, channels: tuple[int, int], dimensions: int = 3
    ) -> None:
        """Draw the weights.

        Args:
            settings: the affine and the dense part, and whether displacements are added.
            channels: of the moving and of the fixed image.
            dimensions: 3, or 2.
        """
        super().__init__()
        self.first = build(settings.first, channels, dimensions)
        self.second = build(settings.second, channels, dimensions)
        self.added = settings.parity

    def forward(
        self, moving: Float[Tensor, "b m *space"], fixed: Float[Tensor, "b f *space"]
    ) -> Field:
        """The total field in voxels, `[b, d, *space]`."""
        affine_field: Field = self.first(moving, fixed)
        dense_field: Field = self.second(warp.warp(moving, affine_field), fixed)
        return (
            affine_field + dense_field if self.added else compose.compose(affine_field, dense_field)
        )
