"""The whole map, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation

from tenter.shapes import Matrix
from tenter.spatial import geometry
from tenter.spatial.transform import Transform, moving_voxels

SHAPE = (6, 5, 7)


def affine(degrees: float, spacing: tuple[float, float, float]) -> Matrix:
    result = geometry.translation((3.0, -4.0, 20.0))
    axes = Rotation.from_euler("xyz", [degrees, -degrees, 2 * degrees], degrees=True).as_matrix()
    result[:3, :3] = axes * spacing
    return result


def random_transform() -> Transform:
    field = torch.randn(1, 3, *SHAPE, generator=torch.Generator().manual_seed(0))
    alignment = affine(4, (1.0, 1.05, 0.9))
    return Transform(alignment, field, affine(20, (1.0, 1.5, 2.0)))


def test_translation_in_voxels_becomes_mm_along_the_grids_axes() -> None:
    field = torch.tensor([1.0, 0, -2]).reshape(1, 3, 1, 1, 1).expand(1, 3, 4, 4, 4)
    transform = Transform(geometry.translation((10.0, 0.0, 0.0)), field, np.diag([-0.8, 1.1, 2.5, 1]))
    np.testing.assert_allclose(transform.map_points(np.array([[-0.8, 1.1, 2.5]])), [[8.4, 1.1, -2.5]])


def test_any_point_maps_as_the_equation_says() -> None:
    transform = random_transform()
    voxels = np.random.default_rng(0).uniform(0, np.array(SHAPE) - 1, (40, 3))
    moves = [ndimage.map_coordinates(axis, voxels.T, order=1) for axis in transform.field[0].double().numpy()]
    expected = geometry.apply(transform.alignment @ transform.affine, voxels + np.stack(moves, axis=1))
    points = geometry.apply(transform.affine, voxels)
    np.testing.assert_allclose(transform.map_points(points), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("first", "moved"), [(-0.51, 0.0), (-0.49, 1.0), (0.0, 1.0), (3.49, 1.0), (3.51, 0.0), (40.0, 0.0)]
)
def test_field_reaches_half_a_voxel_beyond_the_grid(first: float, moved: float) -> None:
    transform = Transform(np.eye(4), torch.ones(1, 3, 4, 4, 4), np.eye(4))
    point = np.array([[first, 1.0, 2.0]])
    np.testing.assert_allclose(transform.map_points(point) - point, moved, atol=1e-12)


@pytest.mark.parametrize("grid", [affine(20, (1.0, 1.5, 2.0)), affine(-33, (2.0, 0.7, 1.1))])
def test_displacement_is_the_moving_minus_the_fixed_point(grid: Matrix) -> None:
    transform = random_transform()
    voxels = np.stack(np.meshgrid(*[np.arange(size) for size in (4, 5, 3)], indexing="ij"), axis=-1)
    points = geometry.apply(grid, voxels.reshape(-1, 3).astype(np.float64))
    expected = (transform.map_points(points) - points).T.reshape(3, 4, 5, 3)
    np.testing.assert_allclose(transform.displacement_mm(grid, (4, 5, 3)), expected, rtol=0, atol=1e-4)


def test_coordinates_are_voxels_of_the_moving_image() -> None:
    transform, fixed, moving = random_transform(), affine(5, (1.0, 1.0, 1.0)), affine(60, (0.5, 3.0, 1.0))
    voxel = np.array([[2.0, 1.0, 3.0]])
    point = transform.map_points(geometry.apply(fixed, voxel))
    expected = geometry.apply(np.linalg.inv(moving), point)[0]
    places = transform.coordinates(fixed, (4, 4, 4), moving)
    np.testing.assert_allclose(places[0, :, 2, 1, 3], expected, rtol=0, atol=1e-4)
    again = moving_voxels(transform.displacement_mm(fixed, (4, 4, 4)), fixed, moving)
    assert torch.equal(again, places)


def test_identity_map_reads_each_voxel_where_it_is() -> None:
    transform = Transform(np.eye(4), torch.zeros(1, 3, *SHAPE), affine(10, (1.0, 1.0, 1.0)))
    fixed = affine(-8, (0.7, 1.2, 3.0))
    places = transform.coordinates(fixed, (40, 50, 30), fixed)
    np.testing.assert_allclose(places[0, :, 39, 49, 29], [39, 49, 29], rtol=0, atol=1e-4)
    assert transform.displacement_mm(fixed, (4, 4, 4)).abs().max() == 0


def test_without_its_field_only_the_alignment_is_left() -> None:
    transform = random_transform().without_field()
    points = np.random.default_rng(1).normal(size=(5, 3)) * 10
    expected = geometry.apply(transform.alignment, points)
    np.testing.assert_allclose(transform.map_points(points), expected, atol=1e-12)


def test_no_points_map_to_no_points() -> None:
    assert random_transform().map_points(np.zeros((0, 3))).shape == (0, 3)
