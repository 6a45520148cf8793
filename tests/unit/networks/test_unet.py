from __future__ import annotations

import pytest
import torch
from torch import nn

from tenter import config, networks
from tenter.networks import unet


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("shape", [(47, 63, 44), (24, 32, 22), (5, 3, 1), (1, 1, 1), (21, 17)])
def test_any_size_gives_a_field_of_zeros_at_first(shape: tuple[int, ...]) -> None:
    network = networks.build(config.UNetNetwork(channels=2), 2, len(shape))
    field = network(torch.randn(1, 1, *shape), torch.randn(1, 1, *shape))
    assert field.shape == (1, len(shape), *shape)
    assert not field.any()


def test_the_finest_level_decides_where_the_field_is_made() -> None:
    moving, fixed = torch.randn(2, 1, 1, 13, 12, 9)
    sizes = []
    for settings in (config.UNetNetwork(channels=2, finest=0), config.UNetNetwork(channels=2)):
        network = networks.build(settings, 2)
        assert isinstance(network, unet.UNet)
        network.head.register_forward_hook(
            lambda _, __, field: sizes.append(tuple(field.shape[2:]))
        )
        network(moving, fixed)
    assert sizes == [(13, 12, 9), (7, 6, 5)]


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_every_weight_learns_once_the_head_is_not_zero(depth: int) -> None:
    network = networks.build(config.UNetNetwork(channels=2, depth=depth), 2)
    assert isinstance(network, unet.UNet)
    nn.init.normal_(network.head.convolution.weight)
    torch.autograd.backward(
        network(torch.randn(2, 1, 33, 34, 35), torch.randn(2, 1, 33, 34, 35)).square().mean()
    )
    gradients = {name: weight.grad for name, weight in network.named_parameters()}
    assert [
        name for name, gradient in gradients.items() if gradient is None or not gradient.any()
    ] == []


def test_the_field_stays_float32_under_autocast() -> None:
    network = networks.build(config.UNetNetwork(channels=2), 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        field = network(torch.randn(1, 1, 9, 8, 7), torch.randn(1, 1, 9, 8, 7))
    assert field.dtype == torch.float32
