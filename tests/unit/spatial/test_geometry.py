"""Affines, worked out by hand and against nibabel."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tenter.shapes import Matrix
from tenter.spatial import geometry


def oblique(degrees: float, spacing: tuple[float, float, float] = (0.8, 1.1, 2.5)) -> Matrix:
    affine = np.eye(4)
    axes = Rotation.from_euler("xyz", [degrees, degrees / 2, -degrees], degrees=True).as_matrix()
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = [12.5, -40, 7]
    return affine


def stored(
    affine: Matrix, shape: tuple[int, int, int], code: str
) -> tuple[Matrix, tuple[int, ...]]:
    """The same image with its axes re-ordered and flipped, by nibabel."""
    image = nib.nifti1.Nifti1Image(np.zeros(shape, np.uint8), affine)
    start = nib.orientations.io_orientation(affine)
    target = nib.orientations.axcodes2ornt(code)
    turned = image.as_reoriented(nib.orientations.ornt_transform(start, target))
    return turned.affine, turned.shape


def test_spacing_is_the_length_of_the_columns() -> None:
    np.testing.assert_allclose(geometry.spacing_mm(oblique(33)), (0.8, 1.1, 2.5))


def test_centre_is_the_middle_of_the_block() -> None:
    affine = np.diag([2.0, 1, 1, 1])
    affine[:3, 3] = [10, 20, 30]
    assert geometry.centre_mm(affine, (5, 4, 1)) == (14.0, 21.5, 30.0)


def test_translation_shifts() -> None:
    shifted = geometry.apply(geometry.translation((1.0, 2.0, 3.0)), np.array([[1.0, 1, 1]]))
    assert shifted.tolist() == [[2, 3, 4]]


@pytest.mark.parametrize("code", ["RAS", "LAS", "LPS", "SPL", "ARI"])
@pytest.mark.parametrize("degrees", [0, 12, 40, 45])
def test_grid_does_not_depend_on_how_the_image_is_stored(code: str, degrees: float) -> None:
    plan = ((10, 12, 8), (1.0, 1.5, 2.0))
    expected = geometry.canonical_grid(oblique(degrees), (6, 7, 4), *plan)
    affine, shape = stored(oblique(degrees), (6, 7, 4), code)
    np.testing.assert_allclose(geometry.canonical_grid(affine, shape, *plan), expected, atol=1e-9)


def test_grid_is_centred_with_the_plans_spacing() -> None:
    grid = geometry.canonical_grid(oblique(12), (6, 7, 4), (10, 12, 8), (1.0, 1.5, 2.0))
    np.testing.assert_allclose(geometry.spacing_mm(grid), (1, 1.5, 2))
    np.testing.assert_allclose(
        geometry.centre_mm(grid, (10, 12, 8)),
        geometry.centre_mm(oblique(12), (6, 7, 4)),
        atol=1e-12,
    )


@pytest.mark.parametrize("code", ["RAS", "LAS", "PIR"])
def test_directions_are_those_of_nibabels_closest_canonical(code: str) -> None:
    affine, shape = stored(oblique(12), (6, 7, 4), code)
    closest = nib.funcs.as_closest_canonical(
        nib.nifti1.Nifti1Image(np.zeros(shape, np.uint8), affine)
    )
    expected = closest.affine[:3, :3] / nib.affines.voxel_sizes(closest.affine)
    np.testing.assert_allclose(geometry.canonical_directions(affine), expected, atol=1e-9)


def test_image_at_45_degrees_has_one_grid() -> None:
    axes = Rotation.from_euler("z", 45, degrees=True).as_matrix()
    one, other = np.eye(4), np.eye(4)
    one[:3, :3], other[:3, :3] = axes, axes[:, [1, 0, 2]] * [-1, 1, 1]
    np.testing.assert_allclose(
        geometry.canonical_directions(one), geometry.canonical_directions(other), atol=1e-12
    )


def test_shear_of_rounding_is_taken_out() -> None:
    affine = np.eye(4)
    affine[0, 1] = 1e-4
    axes = geometry.canonical_directions(affine)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
