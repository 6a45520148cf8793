from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tenter.errors import TrainingError
from tenter.losses.folding import folding


def _stretch(slope: float) -> Tensor:
    """x -> (1 + slope) x along the first axis: J = 1 + slope."""
    field = torch.zeros(1, 3, 6, 5, 4, dtype=torch.float64)
    field[0, 0] = slope * torch.arange(6.0, dtype=torch.float64)[:, None, None]
    return field


def test_a_reflection_costs_what_it_is_below_zero() -> None:
    assert folding(_stretch(-2.5)).item() == pytest.approx(1.5)
    assert folding(_stretch(-2.5), norm="l2").item() == pytest.approx(1.5**2)


def test_shrinking_costs_only_below_the_margin() -> None:
    assert folding(_stretch(-0.7)).item() == 0
    assert folding(_stretch(-0.7), margin=0.5).item() == pytest.approx(0.2)
    assert folding(_stretch(-0.7), margin=0.2).item() == 0


def test_one_fold_among_many_voxels_is_averaged() -> None:
    field = torch.zeros(1, 2, 7, 7)
    field[0, 0, 2, 3], field[0, 0, 4, 3] = 2.0, -2.0  # between them J = 1 - 2; beside them 1 + 1
    assert folding(field).item() == pytest.approx(1 / 25)


def test_the_identity_costs_nothing_and_has_no_gradient() -> None:
    field = torch.zeros(1, 3, 5, 5, 5, requires_grad=True)
    torch.autograd.backward(folding(field))
    assert field.grad is not None
    assert not field.grad.any()


def test_descending_unfolds() -> None:
    torch.manual_seed(0)
    field = (2 * torch.randn(1, 3, 6, 6, 6)).requires_grad_()
    start = folding(field).item()
    optimiser = torch.optim.Adam([field], lr=0.05)
    for _ in range(100):
        optimiser.zero_grad()
        torch.autograd.backward(folding(field, margin=0.1))
        optimiser.step()
    assert folding(field).item() < 0.01 * start


def test_a_grid_of_two_voxels_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"8 x 2 x 8 voxels is too small.*plan\.shape"):
        folding(torch.zeros(1, 3, 8, 2, 8))
