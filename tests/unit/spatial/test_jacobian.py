"""Volume change of maps whose determinant is known."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from tenter.spatial import grids, jacobian

CPU = torch.device("cpu")


def linear(matrix: np.ndarray[tuple[int, ...], np.dtype[np.float64]], *shape: int) -> torch.Tensor:
    rows = torch.from_numpy(matrix - np.eye(len(shape)))
    return grids.mapped(torch.cat([rows, torch.ones(len(shape), 1)], dim=1)[None], shape)


def test_scaling() -> None:
    field = linear(np.diag([1.1, 0.9, 1.3]), 5, 6, 4)
    determinant = jacobian.determinant(field)
    assert determinant.shape == (1, 3, 4, 2)
    torch.testing.assert_close(determinant, torch.full_like(determinant, 1.287), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_any_affine_map(dimensions: int) -> None:
    matrix = np.random.default_rng(0).normal(size=(dimensions, dimensions))
    determinant = jacobian.determinant(linear(matrix, *[4] * dimensions))
    expected = torch.full_like(determinant, float(np.linalg.det(matrix)))
    torch.testing.assert_close(determinant, expected, rtol=0, atol=1e-10)


def test_mirror_folds_everywhere() -> None:
    assert (jacobian.determinant(linear(np.diag([-1.0, 1, 1]), 5, 5, 5)) <= 0).all()


def test_unit_does_not_matter() -> None:
    spacing = (0.8, 1.1, 2.5)
    voxels = torch.rand(1, 3, 6, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mm = voxels * torch.tensor(spacing).reshape(1, 3, 1, 1, 1)
    torch.testing.assert_close(jacobian.determinant(mm, spacing), jacobian.determinant(voxels))


def test_interior_agrees_with_itk() -> None:
    spacing = (0.8, 1.1, 2.5)
    field = torch.rand(1, 3, 6, 7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    image = sitk.GetImageFromArray(field[0].permute(3, 2, 1, 0).numpy(), isVector=True)
    image.SetSpacing(spacing)
    theirs = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(image)).transpose(2, 1, 0)
    ours = jacobian.determinant(field, spacing)[0]
    np.testing.assert_allclose(ours, theirs[1:-1, 1:-1, 1:-1], rtol=0, atol=1e-5)
