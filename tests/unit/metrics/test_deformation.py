"""Folding and the spread of volume change, for maps whose Jacobian is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from tenter.metrics.deformation import determinants, folding_percent, sd_log_jacobian
from tenter.shapes import Matrix
from tenter.spatial import grids

SHAPE = (8, 7, 6)


def oblique(first: float = 1.0) -> Matrix:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix() * [first, 1.1, 2.5]
    affine[:3, 3] = [-30, 12, 7]
    return affine


def displacement(scale: tuple[float, float, float], affine: Matrix) -> Tensor:
    """Of the map that scales the world's axes."""
    matrix = (np.diag([*scale, 1.0]) - np.eye(4)) @ affine
    return grids.mapped(torch.from_numpy(matrix[:3])[None], SHAPE)[0]


@pytest.mark.parametrize(
    "affine", [np.eye(4), oblique(), oblique(-1.0)], ids=["plain", "oblique", "mirrored"]
)
def test_the_determinant_of_a_scaling_is_its_product_on_any_grid(affine: Matrix) -> None:
    found = determinants(displacement((1.1, 0.9, 1.3), affine), affine)
    np.testing.assert_allclose(found, np.full((6, 5, 4), 1.287), atol=1e-12)


def test_a_map_that_turns_space_inside_out_folds_everywhere() -> None:
    assert folding_percent(determinants(displacement((-1, 1, 1), np.eye(4)), np.eye(4))) == 100


def test_the_identity_folds_nothing_and_changes_no_volume() -> None:
    found = determinants(displacement((1, 1, 1), oblique()), oblique())
    assert (folding_percent(found), sd_log_jacobian(found)) == (0, 0)


def test_a_grid_without_inner_voxels_has_no_share_of_folds() -> None:
    assert np.isnan(folding_percent(np.zeros((0, 3, 3))))


def test_a_determinant_of_zero_or_nan_is_folded() -> None:
    assert folding_percent(np.array([0.0, np.nan, 1.0, -1.0])) == 75


def test_the_spread_of_log_volume_is_taken_where_there_is_volume() -> None:
    values = np.array([np.e, np.e**3, -1.0, 0.0])
    assert sd_log_jacobian(values) == pytest.approx(1)


def test_a_map_that_is_folded_everywhere_has_no_spread() -> None:
    assert sd_log_jacobian(np.array([-1.0, 0.0])) is None
