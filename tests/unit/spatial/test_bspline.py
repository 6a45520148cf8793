"""Cubic B-splines: SciPy's own values, and the laws that keep deformations tame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from tenter.spatial import bspline

CPU = torch.device("cpu")


def weights(size: int, spacing: float) -> torch.Tensor:
    return bspline.weights(size, spacing, dtype=torch.float64, device=CPU)


@pytest.mark.parametrize(("size", "spacing"), [(24, 8.0), (22, 3.7), (5, 9.0), (9, 1.0), (1, 4.0)])
def test_weights_are_scipys_basis(size: int, spacing: float) -> None:
    (count,) = bspline.lattice((size,), (spacing,))
    voxels = np.arange(size) - (size - 1) / 2
    knots = spacing * (np.arange(-2, 3) + 0.0)
    expected = np.zeros((size, count))
    for column in range(count):
        place = spacing * (column - (count - 1) / 2)
        values = BSpline.basis_element(knots + place, extrapolate=False)(voxels)
        expected[:, column] = np.nan_to_num(values)
    assert np.allclose(weights(size, spacing).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("spacing", [1.0, 2.5, 7.0, 40.0])
def test_every_voxel_is_covered(spacing: float) -> None:
    assert torch.allclose(weights(23, spacing).sum(1), torch.ones(23, dtype=torch.float64))


def test_a_linear_lattice_gives_the_linear_function() -> None:
    shape, spacing = (9, 6, 7), (2.0, 3.5, 5.0)
    points = bspline.lattice(shape, spacing)
    place = torch.arange(points[1], dtype=torch.float64) - (points[1] - 1) / 2
    controls = (3.5 * place)[None, None, None, :, None].expand(1, 1, *points)
    found = bspline.spline(controls, spacing, shape)
    expected = (torch.arange(6, dtype=torch.float64) - 2.5)[None, None, None, :, None].expand(
        found.shape
    )
    assert torch.allclose(found, expected)


def test_values_stay_between_the_controls() -> None:
    torch.manual_seed(0)
    shape, spacing = (12, 10, 8), (3.0, 4.0, 5.0)
    controls = torch.rand(2, 3, *bspline.lattice(shape, spacing))
    found = bspline.spline(controls, spacing, shape)
    assert found.shape == (2, 3, *shape)
    assert controls.min() < found.min() < found.max() < controls.max()
