"""O10 and O11: how maps change volume, and where they fold."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from tenter.metrics.deformation import determinants, folding_percent, sd_log_jacobian
from tenter.shapes import Matrix
from tenter.spatial import grids, jacobian

SHAPE = (8, 7, 6)
SCALING = (1.1, 0.9, 1.3)


def oblique(first: float = 1.0) -> Matrix:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix() * [
        first,
        1.1,
        2.5,
    ]
    affine[:3, 3] = [-30, 12, 7]
    return affine


AFFINES = {"plain": np.eye(4), "oblique": oblique(), "mirrored": oblique(-1.0)}


def displacement_mm(scale: tuple[float, float, float], affine: Matrix) -> Tensor:
    """Of the map that scales the world's axes, at the voxels of a grid."""
    matrix = (np.diag([*scale, 1.0]) - np.eye(4)) @ affine
    return grids.mapped(torch.from_numpy(matrix[:3])[None], SHAPE)[0]


@pytest.mark.parametrize("name", AFFINES)
def test_o10_the_determinant_of_a_scaling_is_its_product(name: str) -> None:
    affine = AFFINES[name]
    found = determinants(displacement_mm(SCALING, affine), affine)
    np.testing.assert_allclose(found, np.full((6, 5, 4), 1.287), rtol=0, atol=1e-12)


def test_o10_it_is_so_in_single_precision_too() -> None:
    field = displacement_mm(SCALING, np.eye(4)).float()[None]
    found = jacobian.determinant(field)
    torch.testing.assert_close(found, torch.full_like(found, 1.287), rtol=0, atol=1e-5)


def test_o10_inside_it_is_the_determinant_of_simpleitk() -> None:
    """At the border ITK's one-sided differences are another thing; ours leaves it out."""
    spacing = (0.8, 1.1, 2.5)
    field = torch.rand(
        1, 3, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    image = sitk.GetImageFromArray(field[0].permute(3, 2, 1, 0).numpy(), isVector=True)
    image.SetSpacing(spacing)
    theirs = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(image)).transpose(
        2, 1, 0
    )
    ours = jacobian.determinant(field, spacing)[0]
    np.testing.assert_allclose(ours, theirs[1:-1, 1:-1, 1:-1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", AFFINES)
def test_o11_a_map_that_turns_space_inside_out_folds_everywhere(name: str) -> None:
    affine = AFFINES[name]
    assert folding_percent(determinants(displacement_mm((-1, 1, 1), affine), affine)) == 100


@pytest.mark.parametrize("name", AFFINES)
def test_o11_the_identity_folds_nothing_and_changes_no_volume(name: str) -> None:
    affine = AFFINES[name]
    found = determinants(displacement_mm((1, 1, 1), affine), affine)
    assert (folding_percent(found), sd_log_jacobian(found)) == (0, 0)
