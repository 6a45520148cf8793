"""Inverse fields."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from scipy.special import jv

from tenter.spatial import compose, grids, integrate, invert, jacobian, smooth


def wavy(largest: float) -> torch.Tensor:
    field = torch.randn(
        2, 3, 24, 22, 26, generator=torch.Generator().manual_seed(4), dtype=torch.float64
    )
    field = smooth.smooth(field, (6.0, 6.0, 6.0))
    return field * largest / field.abs().max()


def linear(matrix: np.ndarray, shape: tuple[int, ...]) -> torch.Tensor:
    """The field of a linear map about the grid's middle."""
    rows = torch.from_numpy(matrix - np.eye(len(shape)))
    middle = (torch.tensor(shape, dtype=torch.float64) - 1) / 2
    return grids.mapped(torch.cat([rows, -(rows @ middle)[:, None]], dim=1)[None], shape)


def test_translation_is_undone() -> None:
    inverse, residual = invert.invert(torch.full((1, 2, 6, 6), 1.5))
    torch.testing.assert_close(inverse, torch.full((1, 2, 6, 6), -1.5))
    assert residual.item() == 0


@pytest.mark.parametrize(
    "matrix",
    [
        Rotation.from_euler("xyz", [40, -30, 50], degrees=True).as_matrix(),
        np.diag([2.5, 2.5, 2.5]),
        np.array([[2.5, 0.8, 0], [-0.6, 1.7, 0.3], [0.2, 0, 0.6]]),
    ],
    ids=["turn", "stretch", "shear"],
)
def test_linear_map_is_undone_by_the_inverse_matrix(matrix: np.ndarray) -> None:
    shape = (13, 15, 11)
    inverse, residual = invert.invert(linear(matrix, shape))
    expected = linear(np.linalg.inv(matrix), shape)
    start = grids.identity(shape, dtype=torch.float64, device=torch.device("cpu"))
    sizes = torch.tensor(shape).reshape(1, 3, 1, 1, 1)
    within = ((start + expected >= 0) & (start + expected <= sizes - 1)).all(dim=1)
    assert within.sum() > 200
    assert residual.item() < 1e-8
    torch.testing.assert_close(inverse.movedim(1, -1)[within], expected.movedim(1, -1)[within])


def test_sinusoid_has_keplers_inverse() -> None:
    """M = E - e sin E; E = M + sum of 2/n J_n(n e) sin(n M)."""
    size, eccentricity = 241, 0.8
    angle = 2 * np.pi * np.arange(size) / (size - 1)
    terms = [2 / n * jv(n, n * eccentricity) * np.sin(n * angle) for n in range(1, 200)]
    voxels = (size - 1) / (2 * np.pi)
    field = torch.zeros(1, 2, size, 3, dtype=torch.float64)
    field[0, 0] = torch.from_numpy(-eccentricity * np.sin(angle) * voxels)[:, None]
    inverse, _ = invert.invert(field)
    # As far off as a chord between voxels is from its arc, times the inverse's stretch of 5.
    np.testing.assert_allclose(
        inverse[0, 0, :, 1], np.sum(terms, axis=0) * voxels, rtol=0, atol=0.01
    )
    assert inverse[0, 1].abs().max() < 1e-9


def test_flow_is_undone_by_the_flow_back() -> None:
    velocity = torch.randn(
        1, 3, 24, 24, 24, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    velocity = smooth.smooth(velocity, (5.0, 5.0, 5.0))
    velocity = velocity * 3 / velocity.abs().max()
    inverse, _ = invert.invert(integrate.integrate(velocity))
    back = integrate.integrate(-velocity)
    assert back[..., 6:-6, 6:-6, 6:-6].abs().max() > 1
    torch.testing.assert_close(
        inverse[..., 6:-6, 6:-6, 6:-6], back[..., 6:-6, 6:-6, 6:-6], rtol=0, atol=0.05
    )


def test_where_the_map_folds_one_of_several_places_is_taken() -> None:
    field = torch.zeros(1, 3, 8, 4, 4, dtype=torch.float64)
    field[:, 0, ::2] = 3
    assert jacobian.non_diffeomorphic_voxels(field).item() == 1
    inverse, residual = invert.invert(field)
    assert residual.item() < 1e-8
    assert compose.compose(inverse, field).abs().max() > 1


@pytest.mark.parametrize("largest", [3.0, 6.0, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_places_are_found_where_gradients_exceed_1(seed: int, largest: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    velocity = torch.randn(1, 3, 20, 22, 18, generator=generator, dtype=torch.float64)
    velocity = smooth.smooth(velocity, (3.0, 3.0, 3.0))
    field = integrate.integrate(velocity * largest / velocity.abs().max(), steps=9)
    while jacobian.non_diffeomorphic_voxels(field).item() > 0:
        field = 0.97 * field
    assert max(float(field.diff(dim=axis).abs().max()) for axis in (2, 3, 4)) > 0.9
    places = torch.rand(2000, 3, generator=generator, dtype=torch.float64) * torch.tensor(
        [19.0, 21, 17]
    )
    found = invert.preimages(field, places + invert.moves(field, places))
    torch.testing.assert_close(found, places, rtol=0, atol=1e-6)


def test_steep_step_is_climbed() -> None:
    """From a place where the map is almost flat, a whole Newton step leads far beyond the grid."""
    line = torch.linspace(-1, 1, 41, dtype=torch.float64)
    field = torch.zeros(1, 2, 41, 4, dtype=torch.float64)
    field[0, 0] = (20 * (torch.tanh(6 * line) / torch.tanh(torch.tensor(6.0)) - line))[:, None]
    places = torch.stack(
        [torch.linspace(0, 40, 301, dtype=torch.float64)] * 2, dim=1
    ) * torch.tensor([1, 0.0])
    targets = places + invert.moves(field, places)
    found = invert.preimages(field, targets)
    torch.testing.assert_close(found + invert.moves(field, found), targets, rtol=0, atol=1e-8)


def test_places_are_found_though_the_map_folds_beyond_its_grid() -> None:
    """Turned by 100 degrees, the field continued as at its border goes backwards there."""
    turn = Rotation.from_rotvec(np.deg2rad(100) * np.array([1, 2, 3]) / 14**0.5).as_matrix()
    field = linear(turn, (15, 15, 15))
    places = 14 * torch.rand(
        2000, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    targets = places + invert.moves(field, places)
    found = invert.preimages(field, targets)
    torch.testing.assert_close(found + invert.moves(field, found), targets, rtol=0, atol=1e-8)


def test_slopes_are_the_derivatives_of_what_is_read() -> None:
    generator = torch.Generator().manual_seed(0)
    field = torch.randn(1, 3, 4, 5, 3, generator=generator, dtype=torch.float64)
    places = (
        torch.rand(20, 3, generator=generator, dtype=torch.float64) * torch.tensor([5.0, 6, 4]) - 1
    )
    step = 1e-6 * torch.eye(3, dtype=torch.float64)
    expected = [
        (invert.moves(field, places + d) - invert.moves(field, places - d)) / 2e-6 for d in step
    ]
    torch.testing.assert_close(
        invert.slopes(field, places), torch.stack(expected, dim=2), rtol=0, atol=1e-7
    )


def test_axis_of_one_voxel_is_inverted() -> None:
    field = torch.full((1, 3, 1, 4, 5), 0.7, dtype=torch.float64)
    inverse, residual = invert.invert(field)
    torch.testing.assert_close(inverse, -field)
    assert residual.item() < 1e-9


def test_no_targets_have_no_places() -> None:
    assert invert.preimages(wavy(1)[:1], torch.zeros(0, 3, dtype=torch.float64)).shape == (0, 3)


def test_blocks_do_not_show() -> None:
    field, generator = wavy(4)[:1], torch.Generator().manual_seed(0)
    targets = torch.rand(invert.BLOCK + 50, 3, generator=generator, dtype=torch.float64) * 20
    last = invert.preimages(field, targets)[-100:]
    torch.testing.assert_close(last, invert.preimages(field, targets[-100:]), rtol=0, atol=1e-9)
