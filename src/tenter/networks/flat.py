"""A two-dimensional network as one for volumes of one slice."""

from __future__ import annotations

from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from tenter.networks import outputs
from tenter.spatial import planes
from tenter.tensors import Field


class FlatNet(nn.Module):
    """Applies a 2-D network to a single slice; the field is zero along the normal."""

    def __init__(self, network: nn.Module, axis: int) -> None:
        """Wrap a network.

        Args:
            network: two-dimensional.
            axis: along which images have one voxel.
        """
        super().__init__()
        self.network = network
        self.axis = axis

    def forward(
        self, moving: Float[Tensor, "b m *space"], fixed: Float[Tensor, "b f *space"]
    ) -> Field:
        """The field in voxels, `[b, 3, *space]`, of images on one grid of one slice."""
        dimension = 2 + self.axis
        field: Field = self.network(moving.squeeze(dimension), fixed.squeeze(dimension))
        return planes.to_space(field, self.axis)


class FlatDenseNet(FlatNet, outputs.DenseNet):
    """The same for a network with an `Output`; gives access to its heads."""

    def __init__(self, network: outputs.DenseNet, axis: int) -> None:
        """Wrap a network, as `FlatNet`."""
        super().__init__(network, axis)
        self.output = network.output

    def predicted(
        self, moving: Float[Tensor, "b m *space"], fixed: Float[Tensor, "b f *space"]
    ) -> outputs.Heads:
        """Each head's prediction, finest first, `[b, 3, *cells]` with one cell along the normal."""
        dimension = 2 + self.axis
        network = cast("outputs.DenseNet", self.network)
        heads = network.predicted(moving.squeeze(dimension), fixed.squeeze(dimension))
        return [planes.to_space(head, self.axis) for head in heads]


def flattened(network: nn.Module, axis: int) -> FlatNet:
    """A two-dimensional network as one for slices perpendicular to an axis."""
    return (
        FlatDenseNet(network, axis)
        if isinstance(network, outputs.DenseNet)
        else FlatNet(network, axis)
    )
