"""Inverse fields."""

from __future__ import annotations

import torch

from tenter.spatial import compose, invert, smooth


def wavy(largest: float) -> torch.Tensor:
    field = torch.randn(2, 3, 24, 22, 26, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    field = smooth.smooth(field, (6.0, 6.0, 6.0))
    return field * largest / field.abs().max()


def test_translation_is_undone() -> None:
    inverse, residual = invert.invert(torch.full((1, 2, 6, 6), 1.5))
    torch.testing.assert_close(inverse, torch.full((1, 2, 6, 6), -1.5))
    assert residual.item() == 0


def test_map_after_inverse_is_identity() -> None:
    field = wavy(2)
    inverse, residual = invert.invert(field)
    assert residual.shape == (2,)
    assert residual.max() < 1e-6 * 3**0.5
    assert compose.compose(field, inverse).abs().max() < 1e-6


def test_inverse_after_map_is_nearly_identity() -> None:
    field = wavy(2)
    inverse, _ = invert.invert(field)
    assert compose.compose(inverse, field)[..., 3:-3, 3:-3, 3:-3].abs().max() < 0.05


def test_residual_tells_of_a_fold() -> None:
    field = torch.zeros(1, 2, 8, 8)
    field[:, 0, ::2] = 3
    _, residual = invert.invert(field)
    assert residual.item() > 0.5
