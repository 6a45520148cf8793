"""A network of two dimensions, for images of one slice."""

from __future__ import annotations

from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from tenter.networks import outputs
from tenter.shapes import Field
from tenter.spatial import slices


class FlatNet(nn.Module):
    """Takes slices out of space and puts fields back into it, with nothing along the normal."""

    def __init__(self, network: nn.Module, axis: int) -> None:
        """Wrap a network.

        Args:
            network: of two dimensions.
            axis: of the three the one along which images have one voxel.
        """
        super().__init__()
        self.network = network
        self.axis = axis

    def forward(self, moving: Float[Tensor, "b m *space"], fixed: Float[Tensor, "b f *space"]) -> Field:
        """The field in voxels, `[b, 3, *space]`, of images on one grid of one slice."""
        place = 2 + self.axis
        field: Field = self.network(moving.squeeze(place), fixed.squeeze(place))
        return slices.to_space(field, self.axis)


class FlatDenseNet(FlatNet, outputs.DenseNet):
    """The same for a network whose heads an `Output` reads, which tells what they say."""

    def __init__(self, network: outputs.DenseNet, axis: int) -> None:
        """Wrap a network, as `FlatNet`."""
        super().__init__(network, axis)
        self.output = network.output

    def predicted(
        self, moving: Float[Tensor, "b m *space"], fixed: Float[Tensor, "b f *space"]
    ) -> outputs.Heads:
        """What each head says, the finest first, `[b, 3, *cells]` with one cell along the normal."""
        place = 2 + self.axis
        network = cast("outputs.DenseNet", self.network)
        heads = network.predicted(moving.squeeze(place), fixed.squeeze(place))
        return [slices.to_space(head, self.axis) for head in heads]


def flattened(network: nn.Module, axis: int) -> FlatNet:
    """A network of two dimensions as one of slices that are perpendicular to an axis."""
    return FlatDenseNet(network, axis) if isinstance(network, outputs.DenseNet) else FlatNet(network, axis)
