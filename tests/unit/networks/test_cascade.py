from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tenter import config, networks
from tenter.networks import cascade
from tenter.spatial import warp

DENSE = config.UNetNetwork(channels=2, depth=1)
SHAPE = (16, 14, 12)


def built(factors: tuple[int, ...] = (4, 2, 1)) -> cascade.CascadeNet:
    torch.manual_seed(0)
    network = networks.build(config.CascadeNetwork(factors=factors, network=DENSE), 2)
    assert isinstance(network, cascade.CascadeNet)
    return network


def moving_heads(network: nn.Module) -> None:
    """Let every stage shift by up to a voxel of its own."""
    for name, weight in network.named_parameters():
        if name.endswith("head.convolution.bias"):
            nn.init.uniform_(weight, -1, 1)


def smooth() -> Tensor:
    """Waves of some 20 voxels, of range 2."""
    x, y, z = torch.meshgrid(*[torch.arange(size) / 3 for size in SHAPE], indexing="ij")
    return (x.sin() * y.cos() + z.sin())[None, None] / 2


def test_the_field_is_zero_at_first() -> None:
    field = built()(*torch.randn(2, 2, 1, *SHAPE))
    assert field.shape == (2, 3, *SHAPE)
    assert not field.any()


def test_each_stage_has_weights_of_its_own() -> None:
    counts = [
        sum(weight.numel() for weight in network.parameters())
        for network in (built((4, 1)), built((1,)))
    ]
    assert counts[0] == 2 * counts[1]


def test_each_stage_sees_the_moving_image_as_placed_so_far() -> None:
    network = built((4, 2))
    moving_heads(network)
    seen: list[Tensor] = []
    network.stages[1].register_forward_pre_hook(lambda _, images: seen.extend(images))
    moving, fixed = torch.randn(2, 1, 1, *SHAPE)
    network(moving, fixed)
    first = network.stages[0](cascade.averaged(moving, 4), cascade.averaged(fixed, 4))
    placed = warp.warp(moving, cascade.enlarged(first, SHAPE))
    torch.testing.assert_close(seen[0], cascade.averaged(placed, 2))
    torch.testing.assert_close(seen[1], cascade.averaged(fixed, 2))


def test_warping_by_the_total_equals_warping_stage_by_stage() -> None:
    network = built((2, 1))
    moving_heads(network)
    moving, fixed = smooth(), torch.randn(1, 1, *SHAPE)
    coarse = network.stages[0](cascade.averaged(moving, 2), cascade.averaged(fixed, 2))
    placed = warp.warp(moving, cascade.enlarged(coarse, SHAPE))
    twice = warp.warp(placed, network.stages[1](placed, fixed))
    once = warp.warp(moving, network(moving, fixed))
    inside = (..., slice(4, -4), slice(4, -4), slice(4, -4))
    assert (twice - moving)[inside].abs().max() > 0.05
    torch.testing.assert_close(once[inside], twice[inside], rtol=0, atol=0.02)


class Given(nn.Module):
    """A stage that says the same whatever it sees."""

    def __init__(self, field: Tensor) -> None:
        super().__init__()
        self.field = field

    def forward(self, _moving: Tensor, _fixed: Tensor) -> Tensor:
        return self.field


def test_a_point_goes_through_the_last_stage_first() -> None:
    network = built((1, 1))
    stretch, shift = torch.zeros(2, 1, 2, 12, 3)
    stretch[0, 0] = 0.2 * torch.arange(12.0)[:, None]
    shift[0, 0] = 1.5
    network.stages = nn.ModuleList([Given(stretch), Given(shift)])
    # Place i goes to i + 1.5, and that to 1.2 times as much.
    expected = 1.2 * (torch.arange(10.0) + 1.5) - torch.arange(10.0)
    field = network(*torch.zeros(2, 1, 1, 12, 3))
    torch.testing.assert_close(field[0, 0, :10, 1], expected)


def test_all_stages_learn() -> None:
    network = built()
    torch.autograd.backward(network(smooth(), torch.randn(1, 1, *SHAPE)).sub(1).square().mean())
    heads = [weight.grad for name, weight in network.named_parameters() if "head" in name]
    assert len(heads) == 6
    assert all(gradient is not None and bool(gradient.any()) for gradient in heads)


def test_blocks_that_fit_are_averaged_whole() -> None:
    image = torch.randn(2, 3, 8, 4, 6)
    torch.testing.assert_close(cascade.averaged(image, 2), functional.avg_pool3d(image, 2))


def test_blocks_that_do_not_fit_share_voxels_by_volume() -> None:
    image = torch.tensor([1.0, 2, 3, 4, 5]).view(1, 1, 5, 1)
    # Three cells of 5/3 voxels: 1 + 2/3 · 2 = 7/3, 2/3 + 3 + 4/3 = 5, 2/3 · 4 + 5 = 23/3.
    torch.testing.assert_close(cascade.averaged(image, 2).flatten(), torch.tensor([1.4, 3.0, 4.6]))


@pytest.mark.parametrize("shape", [(8, 6), (7, 5)])
def test_an_enlarged_field_moves_as_far_in_space(shape: tuple[int, int]) -> None:
    coarse = torch.ones(1, 2, 4, 3)
    expected = torch.tensor([shape[0] / 4, shape[1] / 3]).view(1, 2, 1, 1).expand(1, 2, *shape)
    torch.testing.assert_close(cascade.enlarged(coarse, shape), expected)


def test_a_cascade_can_follow_an_affine_network() -> None:
    settings = config.CompositeNetwork(second=config.CascadeNetwork(factors=(2, 1), network=DENSE))
    assert not networks.build(settings, 2)(*torch.randn(2, 1, 1, *SHAPE)).any()
