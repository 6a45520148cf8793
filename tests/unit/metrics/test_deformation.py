"""Folding and the spread of volume change, for maps whose Jacobian is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from tenter.metrics.deformation import determinants, folding_percent, sd_log_jacobian, turned_volume
from tenter.shapes import Matrix
from tenter.spatial import grids

SHAPE = (8, 7, 6)


def oblique(first: float = 1.0) -> Matrix:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix() * [
        first,
        1.1,
        2.5,
    ]
    affine[:3, 3] = [-30, 12, 7]
    return affine


def displacement(scale: tuple[float, float, float], affine: Matrix) -> Tensor:
    """Of the map that scales the world's axes."""
    matrix = (np.diag([*scale, 1.0]) - np.eye(4)) @ affine
    return grids.mapped(torch.from_numpy(matrix[:3])[None], SHAPE)[0]


@pytest.mark.parametrize(
    "affine", [np.eye(4), oblique(), oblique(-1.0)], ids=["plain", "oblique", "mirrored"]
)
def test_a_map_that_turns_everything_round_turns_its_own_volume(affine: Matrix) -> None:
    turned = turned_volume(displacement((-0.5, 1, 1.5), affine), affine)
    assert turned == pytest.approx(0.75 * 6 * 5 * 4, abs=1e-9)
    assert turned_volume(displacement((0.5, 1, 1.5), affine), affine) == 0


def zigzag(size: float) -> Tensor:
    """Every other plane is moved forwards, the others backwards:
    neighbours but one never differ.
    """
    field = torch.zeros(3, *SHAPE, dtype=torch.float64)
    field[0] = (size * (-1.0) ** torch.arange(SHAPE[0]))[:, None, None]
    return field


def test_a_fold_between_voxels_is_not_seen_at_voxels_but_by_its_volume() -> None:
    """Planes that are 1 apart and moved 0.6 towards each other overlap by 0.2,
    every other pair of them.
    """
    assert folding_percent(determinants(zigzag(0.6), np.eye(4))) == 0
    assert turned_volume(zigzag(0.6), np.eye(4)) == pytest.approx(0.2 * 6 * 5 * 4 / 2)
    assert turned_volume(zigzag(0.4), np.eye(4)) == 0


def test_a_grid_without_inner_voxels_has_no_share_of_folds() -> None:
    assert np.isnan(folding_percent(np.zeros((0, 3, 3))))


def test_a_determinant_of_zero_or_nan_is_folded() -> None:
    assert folding_percent(np.array([0.0, np.nan, 1.0, -1.0])) == 75


def test_the_spread_of_log_volume_is_taken_where_there_is_volume() -> None:
    values = np.array([np.e, np.e**3, -1.0, 0.0])
    assert sd_log_jacobian(values) == pytest.approx(1)


def test_a_map_that_is_folded_everywhere_has_no_spread() -> None:
    assert sd_log_jacobian(np.array([-1.0, 0.0])) is None
