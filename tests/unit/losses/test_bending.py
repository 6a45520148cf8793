from __future__ import annotations

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


def test_millimetres_convert_displacement_and_derivatives() -> None:
    x, _, z = _axes()
    # In mm: second component 1.1 (0.2 x z) with x = X / 0.8 and z = Z / 2.5.
    mixed = 1.1 * 0.2 / (0.8 * 2.5)
    field = _field(torch.zeros_like(x), 0.2 * x * z)
    assert bending(field, SPACING).item() == pytest.approx(2 * mixed**2 / 3, rel=1e-12)


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


def test_a_grid_of_four_voxels_is_refused_with_the_mend() -> None:
    with pytest.raises(TrainingError, match=r"8 x 4 x 8 voxels is too small.*needs 5.*plan\.shape"):
        bending(torch.zeros(1, 3, 8, 4, 8), VOXELS)


def test_a_step_can_be_profiled_with_the_shapes_of_what_it_computes() -> None:
    field = torch.randn(1, 3, 8, 8, 8, requires_grad=True)
    with torch.autograd.profiler.profile(record_shapes=True) as profile:
        torch.autograd.backward(bending(field, VOXELS))
    shapes = [shape for event in profile.function_events for shape in event.input_shapes]
    assert list(field.shape) in shapes
