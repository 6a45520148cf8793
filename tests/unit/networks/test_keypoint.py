from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tenter import config, networks
from tenter.networks import keypoint
from tenter.spatial import affine, warp

SMALL = config.KeypointNetwork(channels=2, points=5)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def built(settings: config.KeypointNetwork = SMALL, dimensions: int = 3) -> keypoint.KeypointNet:
    network = networks.build(settings, 2, dimensions)
    assert isinstance(network, keypoint.KeypointNet)
    return network


@pytest.mark.parametrize("shape", [(24, 32, 22), (13, 7, 5), (5, 3, 1), (1, 1, 1), (21, 17)])
@pytest.mark.parametrize("finest", [0, 1])
def test_any_size_gives_nearly_the_identity_at_first(shape: tuple[int, ...], finest: int) -> None:
    network = built(config.KeypointNetwork(channels=2, points=5, finest=finest), len(shape))
    moving, fixed = torch.randn(2, 2, 1, *shape)
    field = network(moving, fixed)
    assert field.shape == (2, len(shape), *shape)
    assert field.abs().max() < 0.05 * max(shape)


def test_sides_share_no_weight() -> None:
    network = networks.build(SMALL, (2, 1))
    assert isinstance(network, keypoint.KeypointNet)
    moving, fixed = (set(map(id, side.parameters())) for side in (network.moving, network.fixed))
    assert not moving & fixed
    assert network(torch.randn(1, 2, 8, 9, 7), torch.randn(1, 1, 8, 9, 7)).shape == (1, 3, 8, 9, 7)


def test_a_concentrated_heatmap_is_the_voxel_under_its_cell() -> None:
    logits = torch.zeros(1, 2, 5, 4)
    logits[0, 0, 3, 1] = logits[0, 1, 0, 0] = 100
    points, concentration = keypoint.soft_centres(logits, (9, 8), stride=2)
    # Cells 3 and 1 lie on voxels 6 and 2 of nine and eight, of centres 4 and 3.5.
    torch.testing.assert_close(points[0], torch.tensor([[2 / 4, -1.5 / 3.5], [-1.0, -1.0]]))
    torch.testing.assert_close(concentration, torch.ones(1, 2))


def test_a_flat_heatmap_is_the_centre_and_counts_one_share() -> None:
    points, concentration = keypoint.soft_centres(torch.zeros(1, 1, 5, 7, 3), (5, 7, 3), stride=1)
    torch.testing.assert_close(points, torch.zeros(1, 1, 3))
    torch.testing.assert_close(concentration, torch.full((1, 1), 1 / 105))


def test_points_of_an_affine_map_give_it_back() -> None:
    source = torch.rand(2, 12, 3, dtype=torch.float64) - 0.5
    linear = torch.eye(3, dtype=torch.float64) + 0.3 * torch.randn(2, 3, 3, dtype=torch.float64)
    shift = torch.randn(2, 1, 3, dtype=torch.float64)
    weights = torch.full((2, 12), 1 / 12, dtype=torch.float64)
    found = keypoint.affine_fit(source, source @ linear.mT + shift, weights, 1e-12)
    torch.testing.assert_close(found[:, :3, :3], linear, rtol=0, atol=1e-8)
    torch.testing.assert_close(found[:, :3, 3], shift[:, 0], rtol=0, atol=1e-8)
    assert found[:, 3].tolist() == [[0, 0, 0, 1]] * 2


def test_the_fit_is_weighted_ridge_regression() -> None:
    rng = np.random.default_rng(3)
    source, target, weights = rng.normal(size=(7, 3)), rng.normal(size=(7, 3)), rng.uniform(size=7)
    weights /= weights.sum()
    # As ordinary least squares: the ridge is further rows that ask for the identity's columns.
    ridge = math.sqrt(0.4)
    roots = np.sqrt(weights)[:, None]
    rows = np.vstack([np.hstack([source, np.ones((7, 1))]) * roots, ridge * np.eye(3, 4)])
    expected, *_ = np.linalg.lstsq(rows, np.vstack([target * roots, ridge * np.eye(3)]), rcond=None)
    one, other, share = (torch.from_numpy(item)[None] for item in (source, target, weights))
    found = keypoint.affine_fit(one, other, share, 0.4)
    np.testing.assert_allclose(found[0, :3].numpy(), expected.T, atol=1e-12)


def test_points_in_one_place_give_a_shift_alone() -> None:
    source, target = torch.full((1, 4, 3), 0.25), torch.full((1, 4, 3), -0.5)
    found = keypoint.affine_fit(source, target, torch.full((1, 4), 0.25), SMALL.ridge)
    expected = torch.eye(4)
    expected[:3, 3] = -0.75
    torch.testing.assert_close(found[0], expected)


def test_the_fit_has_the_gradient_of_differences() -> None:
    source, target = torch.randn(2, 2, 5, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(2, 5, dtype=torch.float64, requires_grad=True)

    def fitted(source: Tensor, target: Tensor, weights: Tensor) -> Tensor:
        return keypoint.affine_fit(source, target, weights / weights.sum(1, keepdim=True), 0.1)

    assert torch.autograd.gradcheck(fitted, (source, target, weights))


def test_centres_have_the_gradient_of_differences() -> None:
    logits = torch.randn(1, 2, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda maps: keypoint.soft_centres(maps, (6, 4, 7), 2), (logits,)
    )


def test_the_whole_network_has_the_gradient_of_differences() -> None:
    network = built(config.KeypointNetwork(channels=1, points=3, depth=1), 2).double()
    images = torch.randn(2, 1, 1, 6, 5, dtype=torch.float64, requires_grad=True)
    weight = network.moving.head.weight

    def field(images: Tensor, _weight: Tensor) -> Tensor:
        result: Tensor = network(*images)
        return result

    assert torch.autograd.gradcheck(field, (images, weight))


def test_every_weight_learns() -> None:
    network = built(config.KeypointNetwork(channels=2, points=5, depth=3))
    torch.autograd.backward(network(*torch.randn(2, 2, 1, 33, 34, 35)).square().mean())
    gradients = {name: weight.grad for name, weight in network.named_parameters()}
    assert [
        name for name, gradient in gradients.items() if gradient is None or not gradient.any()
    ] == []


@pytest.mark.parametrize("move", [(8, -16), (-8, 0)])
def test_moving_the_moving_image_by_whole_strides_moves_the_map_as_much(
    move: tuple[int, int],
) -> None:
    network = built(config.KeypointNetwork(channels=2, points=5), 2).eval()
    with torch.no_grad():
        network.sharpness.fill_(1e3)
    shape = (192, 160)
    moving = torch.zeros(1, 1, *shape)
    moving[..., 80:104, 68:92] = torch.rand(24, 24)
    fixed = moving.flip(-1)
    field = network(torch.roll(moving, move, dims=(2, 3)), fixed) - network(moving, fixed)
    expected = torch.tensor(move, dtype=torch.float32).view(1, 2, 1, 1).expand_as(field)
    assert network.pairs(moving, fixed)[0].std(dim=1).max() > 0.01
    torch.testing.assert_close(field, expected, rtol=0, atol=1e-2)


def test_field_and_map_agree() -> None:
    network = built()
    moving, fixed = torch.randn(2, 1, 1, 9, 8, 7)
    matrix = network.affine_map(moving, fixed)
    torch.testing.assert_close(network(moving, fixed), affine.displacement(matrix, (9, 8, 7)))


def test_autocast_leaves_the_fit_in_float32() -> None:
    network = built()
    moving, fixed = torch.randn(2, 1, 1, 17, 16, 15)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        field = network(moving, fixed)
    assert field.dtype == torch.float32
    torch.testing.assert_close(field, network(moving, fixed), rtol=0, atol=0.05)


def test_the_default_ridge_is_100_square_millimetres_on_the_example_grid() -> None:
    squares = [(3 * (size - 1) / 2) ** 2 for size in (24, 32, 22)]
    assert config.KeypointNetwork().ridge * sum(squares) / 3 == pytest.approx(100, rel=0.002)


def test_it_learns_where_things_lie() -> None:
    network = built(config.KeypointNetwork(channels=4, points=6, depth=1), 2)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(80):
        shift = torch.randint(-4, 5, (8, 2))
        moving, fixed = discs(shift), discs(torch.zeros_like(shift))
        loss = (warp.warp(moving, network(moving, fixed)) - fixed).square().mean()
        losses.append(loss.item())
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
    assert sum(losses[-20:]) < 0.2 * sum(losses[:20])


def discs(shift: Tensor) -> Tensor:
    """Blurred discs about the shifted centre, `[b, 1, 24, 20]`."""
    rows, columns = torch.arange(24.0)[:, None] - 11.5, torch.arange(20.0) - 9.5
    shift = shift[:, :, None, None]
    squares = (rows - shift[:, :1]) ** 2 + (columns - shift[:, 1:]) ** 2
    return torch.exp(-squares / 18)
