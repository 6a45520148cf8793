"""Networks of two dimensions on slices, however these lie in the grid."""

from __future__ import annotations

import pytest
import torch

from tenter import config, networks
from tenter.networks.flat import FlatDenseNet
from tenter.networks.outputs import DenseNet

SETTINGS: dict[str, config.Network] = {
    "unet": config.UNetNetwork(channels=2, depth=2),
    "velocity": config.UNetNetwork(channels=2, depth=2, output="velocity"),
    "local": config.LocalNetwork(channels=2),
    "global": config.GlobalNetwork(channels=2),
    "keypoint": config.KeypointNetwork(channels=2, points=6),
    "cascade": config.CascadeNetwork(network=config.UNetNetwork(channels=2, depth=1)),
    "composite": config.CompositeNetwork(second=config.UNetNetwork(channels=2, depth=1)),
}


def shape_of(axis: int) -> tuple[int, ...]:
    sizes = [20, 24]
    sizes.insert(axis, 1)
    return tuple(sizes)


def drawn(settings: config.Network, axis: int) -> torch.nn.Module:
    """The network of a slice, with equal weights for every axis; its field is not zero."""
    torch.manual_seed(0)
    network = networks.on_grid(settings, (2, 1), shape_of(axis))
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return network.eval()


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("name", SETTINGS)
def test_a_slice_gets_the_field_of_its_plane_and_nothing_along_its_normal(
    name: str, axis: int
) -> None:
    moving, fixed = torch.rand(1, 2, 20, 24), torch.rand(1, 1, 20, 24)
    network = drawn(SETTINGS[name], axis)
    field = network(moving.unsqueeze(2 + axis), fixed.unsqueeze(2 + axis))
    assert field.shape == (1, 3, *shape_of(axis))
    assert not field[:, axis].any()
    plane = field[:, [other for other in range(3) if other != axis]].squeeze(2 + axis)
    assert plane.abs().max() > 1e-3
    inner = network.get_submodule("network")
    assert torch.equal(plane, inner(moving, fixed))


def test_a_volume_gets_a_network_of_three_dimensions() -> None:
    network = networks.on_grid(SETTINGS["unet"], 2, (20, 24, 2))
    torch.manual_seed(0)
    assert {name: weight.shape for name, weight in network.named_parameters()} == {
        name: weight.shape
        for name, weight in networks.build(SETTINGS["unet"], 2).named_parameters()
    }


def test_velocities_of_slices_are_integrated_to_the_field() -> None:
    network = drawn(SETTINGS["velocity"], 1)
    assert isinstance(network, FlatDenseNet)
    assert isinstance(network, DenseNet)
    moving, fixed = torch.rand(1, 2, 20, 1, 24), torch.rand(1, 1, 20, 1, 24)
    integrated = network.output.flow(network.velocity(moving, fixed), (20, 1, 24))
    assert not integrated[:, 1].any()
    assert torch.allclose(integrated, network(moving, fixed), atol=1e-5)


def test_a_network_of_one_size_takes_the_size_of_a_slice_as_in_the_plan() -> None:
    settings = config.GlobalNetwork(channels=1, parity=True, finest=0, size=(20, 1, 24))
    network = networks.on_grid(settings, 2, (20, 1, 24))
    assert not network(*torch.rand(2, 1, 1, 20, 1, 24)).any()
