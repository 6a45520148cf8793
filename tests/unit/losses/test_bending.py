from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.losses.deform import BendingEnergyLoss
from torch import Tensor

from tenter.errors import TrainingError
from tenter.losses.bending import bending
from tenter.spatial import grids

VOXELS = (1.0, 1.0, 1.0)
SPACING = (0.8, 1.1, 2.5)
SHAPE = (7, 8, 6)


def _axes() -> tuple[Tensor, Tensor, Tensor]:
    x, y, z = grids.identity(SHAPE, dtype=torch.float64, device=torch.device("cpu"))[0]
    return x, y, z


def _field(*components: Tensor) -> Tensor:
    zero = torch.zeros(SHAPE, dtype=torch.float64)
    return torch.stack([*components, zero, zero, zero][:3])[None]


def test_a_parabola_costs_its_squared_curvature() -> None:
    x, _, _ = _axes()
    assert bending(_field(0.3 * x**2), VOXELS).item() == pytest.approx(4 * 0.3**2 / 3, rel=1e-12)


def test_a_saddle_counts_the_mixed_derivative_twice() -> None:
    x, y, _ = _axes()
    assert bending(_field(0.3 * x * y), VOXELS).item() == pytest.approx(2 * 0.3**2 / 3, rel=1e-12)


def test_affine_fields_cost_nothing() -> None:
    x, y, z = _axes()
    field = _field(0.1 * x - 0.2 * y + 3, 0.3 * z + 0.1 * x, -0.2 * y + 1)
    assert bending(field, VOXELS).item() < 1e-24
    assert bending(field.float(), VOXELS).item() < 1e-10


def test_millimetres_convert_displacement_and_derivatives() -> None:
    x, _, z = _axes()
    # In mm: second component 1.1 (0.2 x z) with x = X / 0.8 and z = Z / 2.5.
    mixed = 1.1 * 0.2 / (0.8 * 2.5)
    field = _field(torch.zeros_like(x), 0.2 * x * z)
    assert bending(field, SPACING).item() == pytest.approx(2 * mixed**2 / 3, rel=1e-12)


def test_derivatives_are_numpys_central_differences_taken_twice() -> None:
    field = np.random.default_rng(0).normal(size=(2, 3, *SHAPE))
    inside = (..., slice(2, -2), slice(2, -2), slice(2, -2))
    second = [
        np.gradient(np.gradient(field, axis=first), axis=second)[inside] ** 2
        for first in (2, 3, 4)
        for second in (2, 3, 4)
    ]
    expected = np.mean(np.sum(second, axis=0))
    assert bending(torch.from_numpy(field), VOXELS).item() == pytest.approx(expected, rel=1e-12)


# MONAI indexes by lists, of which torch warns.
@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning")
def test_quadratic_fields_agree_with_monai_whose_differences_are_narrower() -> None:
    x, y, z = _axes()
    field = _field(0.1 * x**2 - 0.3 * x * y, 0.2 * y * z, 0.4 * z**2 + 0.1 * x * z + y)
    torch.testing.assert_close(bending(field, VOXELS), BendingEnergyLoss()(field))


def test_two_dimensions_are_allowed() -> None:
    x = torch.arange(6.0)[:, None].expand(6, 7)
    field = torch.stack([0.5 * x**2, torch.zeros(6, 7)])[None]
    assert bending(field, (1.0, 1.0)).item() == pytest.approx(1 / 2)


def test_gradient_is_right_with_spacing() -> None:
    torch.manual_seed(0)
    field = torch.randn(1, 3, 5, 6, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda field: bending(field, SPACING), field, fast_mode=True)


def test_a_grid_of_four_voxels_is_refused_with_the_mend() -> None:
    with pytest.raises(TrainingError, match=r"8 x 4 x 8 voxels is too small.*needs 5.*plan\.shape"):
        bending(torch.zeros(1, 3, 8, 4, 8), VOXELS)
