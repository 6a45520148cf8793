from __future__ import annotations

import pytest
import torch
from monai.losses.deform import DiffusionLoss
from torch import Tensor

from tenter.errors import TrainingError
from tenter.losses.gradient import gradient

VOXELS = (1.0, 1.0, 1.0)
SPACING = (0.8, 1.1, 2.5)


def _ramp(slope: float) -> Tensor:
    field = torch.zeros(1, 3, 5, 6, 4, dtype=torch.float64)
    field[0, 0] = slope * torch.arange(5.0, dtype=torch.float64)[:, None, None]
    return field


def test_a_stretch_costs_the_same_in_mm_and_voxels() -> None:
    torch.testing.assert_close(gradient(_ramp(0.6), SPACING), gradient(_ramp(0.6), VOXELS))


def test_a_shear_in_mm_is_scaled_by_both_spacings() -> None:
    field = torch.zeros(1, 3, 5, 6, 4, dtype=torch.float64)
    field[0, 2] = 0.6 * torch.arange(5.0, dtype=torch.float64)[:, None, None]
    assert gradient(field, SPACING).item() == pytest.approx((0.6 * 2.5 / 0.8) ** 2 / 3, rel=1e-12)


# MONAI indexes by lists, of which torch warns.
@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning")
def test_value_and_gradient_agree_with_monai() -> None:
    torch.manual_seed(0)
    first = torch.randn(2, 3, 5, 6, 7, dtype=torch.float64, requires_grad=True)
    second = first.detach().clone().requires_grad_()
    ours, reference = gradient(first, VOXELS), DiffusionLoss()(second)
    torch.testing.assert_close(ours, reference)
    torch.autograd.backward(ours)
    torch.autograd.backward(reference)
    torch.testing.assert_close(first.grad, second.grad)


def test_a_grid_of_two_voxels_is_refused() -> None:
    with pytest.raises(TrainingError, match="needs 3 along each axis"):
        gradient(torch.zeros(1, 3, 8, 2, 8), VOXELS)
