"""Learn2Reg's figures by hand, with the program's faults."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from tenter.metrics import learn2reg
from tenter.metrics.indices import IndexField
from tenter.metrics.regions import Region


def linear_field(matrix: list[list[float]], shape: tuple[int, int, int] = (8, 9, 7)) -> IndexField:
    """u = M i."""
    field = np.einsum("rc,cxyz->rxyz", np.array(matrix), np.indices(shape))
    return np.asarray(field, dtype=np.float32)


def rough(size: float, seed: int = 0) -> IndexField:
    noise = np.random.default_rng(seed).normal(size=(3, 16, 15, 14))
    return np.stack([ndimage.gaussian_filter(part, 2) * size for part in noise]).astype(np.float32)


def independent(field: IndexField) -> np.ndarray:
    """Determinants by NumPy's own gradient, two voxels off each side."""
    gradient = np.stack([np.stack(np.gradient(part.astype(float))) for part in field])
    jacobian = np.moveaxis(gradient, (0, 1), (-2, -1)) + np.eye(3)
    return np.asarray(np.linalg.det(jacobian)[2:-2, 2:-2, 2:-2])


def test_a_uniform_stretch_has_no_spread() -> None:
    found = learn2reg.field_figures(linear_field([[0.5, 0, 0], [0, 0.1, 0], [0, 0, -0.2]]))
    assert found["learn2reg_sd_log_jacobian"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("size", [5.0, 60.0])
def test_the_spread_is_of_the_logarithm_of_the_determinant_plus_three(size: float) -> None:
    field = rough(size)
    expected = np.log(np.clip(independent(field) + 3, 1e-9, 1e9)).std()
    assert learn2reg.field_figures(field)["learn2reg_sd_log_jacobian"] == pytest.approx(
        expected, abs=1e-6
    )


def test_slabs_change_no_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = learn2reg.field_figures(rough(5.0))
    monkeypatch.setattr("tenter.metrics.indices.SLAB_VOXELS", 1)
    assert learn2reg.field_figures(rough(5.0)) == pytest.approx(whole)


def test_folds_are_never_counted() -> None:
    field = linear_field([[-3.0, 0, 0], [0, 0, 0], [0, 0, 0]])  # turns everything inside out
    assert (independent(field) < 0).all()
    assert learn2reg.field_figures(field)["learn2reg_foldings"] == 0


def test_a_grid_of_four_voxels_has_no_spread() -> None:
    field = np.zeros((3, 4, 9, 9), np.float32)
    assert math.isnan(learn2reg.field_figures(field)["learn2reg_sd_log_jacobian"])


def test_a_label_is_measured_in_voxels() -> None:
    first, second = np.ones((3, 3, 3), np.bool_), np.ones((3, 3, 3), np.bool_)
    found = learn2reg.label_figures(Region(first, (2, 2, 2)), Region(second, (4, 2, 2)))
    assert found == {"learn2reg_dice": pytest.approx(2 * 9 / 54), "learn2reg_hd95": 2.0}


def test_a_vanished_label_is_infinitely_far() -> None:
    nothing = Region(np.zeros((0, 0, 0), np.bool_), (0, 0, 0))
    found = learn2reg.label_figures(nothing, Region(np.ones((2, 2, 2), np.bool_), (1, 1, 1)))
    assert found == {"learn2reg_dice": 0.0, "learn2reg_hd95": math.inf}


def test_points_are_measured_in_the_moving_images_mm() -> None:
    field = np.zeros((3, 6, 6, 6), np.float32)
    field[0] = 1.0
    fixed, moving = np.array([[2.0, 2, 2], [3, 3, 3]]), np.array([[3.0, 2, 3], [3, 3, 3]])
    found = learn2reg.point_errors_mm(fixed, moving, field, (0.5, 1.0, 2.0))
    np.testing.assert_allclose(found, [2.0, 0.5], atol=1e-12)


def test_the_field_is_read_by_cubic_splines() -> None:
    field = np.zeros((3, 9, 9, 9), np.float32)
    field[0] = np.square(np.arange(9.0) - 4)[:, None, None]
    found = learn2reg.point_errors_mm(
        np.array([[4.5, 4, 4]]), np.array([[4.5, 4, 4]]), field, (1.0, 1.0, 1.0)
    )
    assert found[0] == pytest.approx(0.25, abs=0.02)  # linearly it were 0.5


def test_a_point_beyond_the_grid_does_not_move() -> None:
    field = np.full((3, 6, 6, 6), 3, np.float32)
    point = np.array([[5.2, 2, 2]])
    assert learn2reg.point_errors_mm(point, point, field, (1.0, 1.0, 1.0))[0] == 0
