from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tenter import config, networks
from tenter.config.networks import Norm
from tenter.networks import local


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("norm", ["instance", "group", "batch"])
@pytest.mark.parametrize(("channels", "count"), [(32, 18_906_351), (16, 4_753_023), (8, 1_201_479)])
def test_weights_are_as_many_as_label_regs(channels: int, count: int, norm: Norm) -> None:
    with torch.device("meta"):
        network = networks.build(config.LocalNetwork(channels=channels, norm=norm), 2)
    assert sum(weight.numel() for weight in network.parameters()) == count


def test_only_the_first_kernel_is_seven_wide() -> None:
    network = networks.build(config.LocalNetwork(channels=1), 2)
    kernels = [
        layer.kernel_size[0]
        for layer in network.modules()
        if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d)
    ]
    assert kernels[0] == 7
    assert set(kernels[1:]) == {3}


@pytest.mark.parametrize("shape", [(47, 63, 44), (24, 32, 22), (5, 3, 1), (1, 1, 1), (21, 17)])
def test_any_size_gives_a_field_of_zeros_at_first(shape: tuple[int, ...]) -> None:
    network = networks.build(config.LocalNetwork(channels=2), 2, len(shape))
    field = network(torch.randn(1, 1, *shape), torch.randn(1, 1, *shape))
    assert field.shape == (1, len(shape), *shape)
    assert not field.any()


@pytest.mark.parametrize("levels", [(0,), (4,), (1, 3)])
def test_the_field_is_the_sum_of_the_chosen_heads(levels: tuple[int, ...]) -> None:
    network = networks.build(config.LocalNetwork(channels=2, levels=levels), 2)
    assert isinstance(network, local.LocalNet)
    for level, head in network.heads.items():
        nn.init.constant_(_bias(head), 10.0 ** int(level))
    field = network(torch.randn(1, 1, 9, 8, 7), torch.randn(1, 1, 9, 8, 7))
    expected = torch.full_like(field, sum(10.0**level for level in levels))
    torch.testing.assert_close(field, expected)


def test_nothing_finer_than_the_finest_head_is_built() -> None:
    network = networks.build(config.LocalNetwork(channels=2, levels=(2, 4)), 2)
    assert isinstance(network, local.LocalNet)
    assert len(network.decoder) == 2


def test_additive_up_is_label_regs_block() -> None:
    block = local.AdditiveUp(8, 4, "instance")
    features, skip = torch.randn(1, 8, 3, 2, 4), torch.randn(1, 4, 5, 4, 7)
    transposed = functional.conv_transpose3d(
        features, block.transposed.weight, stride=2, padding=1, output_padding=(0, 1, 0)
    )
    resized = functional.interpolate(features, skip.shape[2:], mode="trilinear")
    raised = functional.relu(_normalised(transposed)) + resized[:, :4] + resized[:, 4:]
    first = functional.relu(_normalised(functional.conv3d(raised, _weight(block.first), padding=1)))
    second = _normalised(functional.conv3d(first, _weight(block.second), padding=1))
    expected = functional.relu(second + raised + skip)
    torch.testing.assert_close(block(features, skip), expected, rtol=1e-4, atol=1e-5)


def test_every_weight_learns_once_the_heads_are_not_zero() -> None:
    network = networks.build(config.LocalNetwork(channels=2), 2)
    assert isinstance(network, local.LocalNet)
    for head in network.heads.values():
        nn.init.normal_(_weight(head))
    torch.autograd.backward(
        network(torch.randn(2, 1, 33, 34, 35), torch.randn(2, 1, 33, 34, 35)).square().mean()
    )
    gradients = {name: weight.grad for name, weight in network.named_parameters()}
    assert [
        name for name, gradient in gradients.items() if gradient is None or not gradient.any()
    ] == []


def test_a_case_does_not_depend_on_the_batch_it_is_in() -> None:
    network = networks.build(config.LocalNetwork(channels=2), 2)
    assert isinstance(network, local.LocalNet)
    for head in network.heads.values():
        nn.init.normal_(_weight(head))
    moving, fixed = torch.randn(3, 1, 16, 17, 18), torch.randn(3, 1, 16, 17, 18)
    alone, together = network(moving[:1], fixed[:1]), network(moving, fixed)[:1]
    torch.testing.assert_close(alone, together, rtol=1e-3, atol=1e-3)


def _convolution(block: nn.Module) -> nn.Conv3d:
    convolution = block.get_submodule("convolution")
    assert isinstance(convolution, nn.Conv3d)
    return convolution


def _weight(block: nn.Module) -> Tensor:
    return _convolution(block).weight


def _bias(block: nn.Module) -> Tensor:
    bias = _convolution(block).bias
    assert bias is not None
    return bias


def _normalised(features: Tensor) -> Tensor:
    variance, mean = torch.var_mean(features, dim=(2, 3, 4), keepdim=True, correction=0)
    return (features - mean) / (variance + 1e-5).sqrt()
