from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tenter import config, networks
from tenter.spatial import warp


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def _network(dimensions: int = 3, **settings: Any) -> Any:
    return networks.build(config.GlobalNetwork(channels=2, **settings), 2, dimensions)


@pytest.mark.parametrize("shape", [(47, 63, 44), (24, 32, 22), (5, 3, 1), (1, 1, 1), (21, 17)])
def test_any_size_gives_the_identity_at_first(shape: tuple[int, ...]) -> None:
    network = _network(len(shape))
    moving, fixed = torch.randn(1, 1, *shape), torch.randn(1, 1, *shape)
    field = network(moving, fixed)
    assert field.shape == (1, len(shape), *shape)
    assert not field.any()
    torch.testing.assert_close(network.affine_map(moving, fixed), torch.eye(len(shape) + 1)[None])


def test_from_full_resolution_on_the_encoder_is_label_regs() -> None:
    with torch.device("meta"):
        network = networks.build(config.GlobalNetwork(channels=8, finest=0), 2)
    weights = {name: weight.numel() for name, weight in network.named_parameters()}
    assert sum(count for name, count in weights.items() if not name.startswith("head")) == 593_496


def test_one_optimiser_step_does_not_throw_the_map_to_its_bound() -> None:
    network = networks.build(config.GlobalNetwork(channels=8), 2)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    moving, fixed = torch.randn(2, 4, 1, 24, 32, 22)
    torch.autograd.backward(network(moving, fixed).sum())
    optimiser.step()
    largest = (
        network(moving, fixed).detach().abs().amax(dim=(0, 2, 3, 4)) / torch.tensor([12, 16, 11])
    ).max()
    assert 0 < largest < 0.1


def test_each_entry_changes_by_no_more_than_the_bound() -> None:
    network = _network(bound=0.25)
    nn.init.normal_(network.head.weight, std=1e3)
    moving, fixed = torch.randn(2, 2, 1, 9, 8, 7)
    change = network.affine_map(moving, fixed).detach() - torch.eye(4)
    assert change[:, :3].abs().max() == pytest.approx(0.25, abs=1e-6)
    assert not change[:, 3].any()


def test_shift_is_in_half_widths_of_the_grid() -> None:
    network = _network(bound=0.5)
    with torch.no_grad():
        network.head.bias[3] = 100.0
    field = network(torch.randn(1, 1, 9, 7, 5), torch.randn(1, 1, 9, 7, 5))
    torch.testing.assert_close(field[:, 0], torch.full((1, 9, 7, 5), 0.5 * 4.0))
    assert not field[:, 1:].any()


def test_the_map_turns_about_the_centre() -> None:
    network = _network()
    with torch.no_grad():
        network.head.bias[:] = torch.tensor([100.0, 100, 100, 0] * 3)
    field = network(torch.randn(1, 1, 9, 7, 5), torch.randn(1, 1, 9, 7, 5))
    torch.testing.assert_close(field[0, :, 4, 3, 2], torch.zeros(3), rtol=0, atol=1e-5)
    assert field[0, :, 8, 6, 4].min() > 0


def test_map_stays_float32_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        field = _network()(torch.randn(1, 1, 9, 8, 7), torch.randn(1, 1, 9, 8, 7))
    assert field.dtype == torch.float32


def test_it_learns_where_things_lie() -> None:
    network = networks.build(config.GlobalNetwork(channels=4), 2, 2)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(80):
        shift = torch.randint(-4, 5, (8, 2))
        moving, fixed = _discs(shift), _discs(torch.zeros_like(shift))
        loss = (warp.warp(moving, network(moving, fixed)) - fixed).square().mean()
        losses.append(loss.item())
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    assert sum(losses[-20:]) < 0.4 * sum(losses[:20])


def _discs(shift: Tensor) -> Tensor:
    """Blurred discs about the shifted centre, `[b, 1, 24, 20]`."""
    rows, columns = torch.arange(24.0)[:, None] - 11.5, torch.arange(20.0) - 9.5
    shift = shift[:, :, None, None]
    squares = (rows - shift[:, :1]) ** 2 + (columns - shift[:, 1:]) ** 2
    return torch.exp(-squares / 18)
