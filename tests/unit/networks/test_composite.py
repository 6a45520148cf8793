from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tenter import config, networks
from tenter.networks import composite
from tenter.spatial import warp

SETTINGS = config.CompositeNetwork(
    first=config.GlobalNetwork(channels=2), second=config.UNetNetwork(channels=2, depth=2)
)
SHAPE = (16, 14, 12)


@pytest.fixture
def network() -> composite.CompositeNet:
    torch.manual_seed(0)
    network = networks.build(SETTINGS, 2)
    assert isinstance(network, composite.CompositeNet)
    return network


def test_the_field_is_zero_at_first(network: composite.CompositeNet) -> None:
    field = network(torch.randn(2, 1, *SHAPE), torch.randn(2, 1, *SHAPE))
    assert field.shape == (2, 3, *SHAPE)
    assert not field.any()


def test_the_dense_part_sees_the_placed_image(network: composite.CompositeNet) -> None:
    _move(network)
    seen: list[Tensor] = []
    network.second.register_forward_pre_hook(lambda _, images: seen.extend(images))
    moving, fixed = torch.randn(1, 1, *SHAPE), torch.randn(1, 1, *SHAPE)
    network(moving, fixed)
    torch.testing.assert_close(seen[0], warp.warp(moving, network.first(moving, fixed)))
    torch.testing.assert_close(seen[1], fixed)


def test_warping_by_the_total_equals_warping_twice(network: composite.CompositeNet) -> None:
    _move(network)
    moving, fixed = _smooth(), torch.randn(1, 1, *SHAPE)
    placed = warp.warp(moving, network.first(moving, fixed))
    twice = warp.warp(placed, network.second(placed, fixed))
    once = warp.warp(moving, network(moving, fixed))
    inside = (..., slice(4, -4), slice(4, -4), slice(4, -4))
    assert (twice - moving)[inside].abs().max() > 0.05
    torch.testing.assert_close(once[inside], twice[inside], rtol=0, atol=0.02)


def test_both_parts_learn(network: composite.CompositeNet) -> None:
    moving, fixed = _smooth(), torch.randn(1, 1, *SHAPE)
    torch.autograd.backward(network(moving, fixed).sub(1).square().mean())
    assert network.get_parameter("first.head.bias").grad is not None
    heads = [weight.grad for name, weight in network.named_parameters() if "head" in name]
    assert all(grad is not None and bool(grad.any()) for grad in heads)


def test_local_net_can_be_the_dense_part() -> None:
    second = config.LocalNetwork(channels=2, levels=(0,))
    network = networks.build(config.CompositeNetwork(first=SETTINGS.first, second=second), 2)
    assert not network(torch.randn(1, 1, *SHAPE), torch.randn(1, 1, *SHAPE)).any()


def _move(network: composite.CompositeNet) -> None:
    """Give both heads something to say."""
    nn.init.uniform_(network.get_parameter("first.head.bias"), 0.1, 0.3)
    for name, weight in network.second.named_parameters():
        if name.startswith("head") and name.endswith("bias"):
            nn.init.uniform_(weight, -1, 1)


def _smooth() -> Tensor:
    """Waves of some 20 voxels, of range 2."""
    axes = [torch.arange(size) / 3 for size in SHAPE]
    x, y, z = torch.meshgrid(*axes, indexing="ij")
    return (x.sin() * y.cos() + z.sin())[None, None] / 2
