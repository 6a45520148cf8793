"""The inverse as a field on its own grid."""

from __future__ import annotations

import torch

from builders.stored_pairs import gentle_transform
from tenter.spatial import inverse_grid, invert

FIELD = gentle_transform(0, "RAS", sheared=False, largest_mm=6).field.double()


def test_field_acts_up_to_half_a_voxel_beyond_its_grid() -> None:
    places = torch.tensor([[-0.51, 1, 1], [-0.5, 1, 1], [11.49, 1, 1], [11.5, 1, 1], [12.9, 1, 1]])
    assert inverse_grid.acts(places, FIELD).tolist() == [False, True, True, False, False]
    assert inverse_grid.acts(places, FIELD, margin=2.0).tolist() == [True] * 5


def test_places_off_the_grid_came_from_where_they_are() -> None:
    targets = torch.tensor([[40.0, 3, 3], [5, -20, 5]], dtype=torch.float64)
    assert torch.equal(inverse_grid.origins(FIELD, targets), targets)


def test_inverse_is_exact_at_its_own_voxels() -> None:
    inverse = inverse_grid.inverse_grid(FIELD, 2)
    voxels = torch.tensor([[10.0, 9, 11], [15, 12, 8]], dtype=torch.float64)
    targets = voxels / 2 + torch.tensor(inverse.first, dtype=torch.float64)
    expected = inverse_grid.origins(FIELD, targets)
    torch.testing.assert_close(inverse.displaced(targets), expected, rtol=0, atol=1e-5)


def test_start_from_a_coarser_inverse_does_not_show() -> None:
    coarse = inverse_grid.inverse_grid(FIELD, 1)
    plain, started = (
        inverse_grid.inverse_grid(FIELD, 2),
        inverse_grid.inverse_grid(FIELD, 2, coarse),
    )
    assert (plain.first, plain.factor) == (started.first, started.factor) == (coarse.first, 2)
    torch.testing.assert_close(started.field, plain.field, rtol=0, atol=1e-5)


def test_errors_are_those_of_points_all_over_the_inner_cells() -> None:
    inverse = inverse_grid.inverse_grid(FIELD, 1)
    to_mm = 3 * torch.eye(3, dtype=torch.float64)
    largest, sound = inverse_grid.return_errors(FIELD, inverse, to_mm)
    inner = torch.tensor(FIELD.shape[2:], dtype=torch.float64) - 3
    generator = torch.Generator().manual_seed(0)
    places = 1 + torch.rand(20_000, 3, generator=generator, dtype=torch.float64) * inner
    home = inverse.displaced(places + invert.moves(FIELD, places))
    expected = float((3 * (home - places)).norm(dim=1).max())
    assert sound == largest
    assert abs(largest - expected) < 0.15 * expected


def test_folds_are_left_out_of_the_second_figure() -> None:
    field = FIELD.clone()
    field[0, 0, 5, 5, 5] += 4
    inverse = inverse_grid.inverse_grid(field, 1)
    largest, sound = inverse_grid.return_errors(field, inverse, torch.eye(3, dtype=torch.float64))
    assert largest > 0.5
    assert sound < 0.2 * largest
