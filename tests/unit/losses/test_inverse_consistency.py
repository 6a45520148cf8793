from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tenter.losses.inverse_consistency import inverse_consistency
from tenter.spatial import invert

SPACING = (1.0, 2.0, 3.0)


def _constant(*shift: float) -> Tensor:
    return (
        torch.tensor(shift, dtype=torch.float64)
        .view(1, -1, *[1] * len(shift))
        .expand(1, -1, 8, 7, 6)
    )


def test_opposite_translations_cost_nothing() -> None:
    assert inverse_consistency(_constant(1, -2, 0.5), _constant(-1, 2, -0.5), SPACING).item() == 0


def test_what_is_missed_is_squared_in_the_unit_of_spacing() -> None:
    missed = inverse_consistency(_constant(1, 0, 0), _constant(-1, 1, 0.5), SPACING)
    assert missed.item() == pytest.approx((1 * 2) ** 2 + (0.5 * 3) ** 2)


def test_places_beyond_the_grid_are_left_out() -> None:
    field = torch.zeros(1, 2, 8, 8, dtype=torch.float64)
    field[0, 0, 0] = -5.0  # one row of eight leaves; nothing brings it back
    assert inverse_consistency(field, torch.zeros_like(field), (1.0, 1.0)).item() == pytest.approx(
        25 / 8 / 2
    )


def test_both_orders_count_alike() -> None:
    torch.manual_seed(0)
    one, other = torch.randn(2, 2, 3, 5, 6, 4, dtype=torch.float64)
    torch.testing.assert_close(
        inverse_consistency(one, other, SPACING), inverse_consistency(other, one, SPACING)
    )


def test_a_smooth_field_and_its_inverse_cost_little() -> None:
    x, y = torch.meshgrid(*[torch.linspace(0, 3.14159, 32, dtype=torch.float64)] * 2, indexing="ij")
    field = torch.stack([2 * x.sin() * y.sin(), x.sin() * (2 * y).sin()])[None]
    inverse, _ = invert.invert(field)
    voxels = (1.0, 1.0)
    assert inverse_consistency(field, inverse, voxels).item() < 1e-3
    assert inverse_consistency(field, -field, voxels).item() > 1e-2
