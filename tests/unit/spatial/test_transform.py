"""The whole map, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation

from builders.stored_pairs import STORAGES, gentle_transform, voxel_points
from tenter.shapes import Matrix
from tenter.spatial import geometry
from tenter.spatial import transform as transforms
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
    transform = Transform(
        geometry.translation((10.0, 0.0, 0.0)), field, np.diag([-0.8, 1.1, 2.5, 1])
    )
    np.testing.assert_allclose(
        transform.map_points(np.array([[-0.8, 1.1, 2.5]])), [[8.4, 1.1, -2.5]]
    )


def test_any_point_maps_as_the_equation_says() -> None:
    transform = random_transform()
    voxels = np.random.default_rng(0).uniform(0, np.array(SHAPE) - 1, (40, 3))
    moves = [
        ndimage.map_coordinates(axis, voxels.T, order=1)
        for axis in transform.field[0].double().numpy()
    ]
    expected = geometry.apply(
        transform.alignment @ transform.affine, voxels + np.stack(moves, axis=1)
    )
    points = geometry.apply(transform.affine, voxels)
    np.testing.assert_allclose(transform.map_points(points), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("first", "moved"),
    [(-0.51, 0.0), (-0.49, 1.0), (0.0, 1.0), (3.49, 1.0), (3.51, 0.0), (40.0, 0.0)],
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
    np.testing.assert_allclose(
        transform.displacement_mm(grid, (4, 5, 3)), expected, rtol=0, atol=1e-4
    )


def test_coordinates_are_voxels_of_the_moving_image() -> None:
    transform, fixed, moving = (
        random_transform(),
        affine(5, (1.0, 1.0, 1.0)),
        affine(60, (0.5, 3.0, 1.0)),
    )
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


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("sheared", [False, True])
def test_points_return_by_the_exact_inverse(
    storage: str,
    sheared: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    transform = gentle_transform(5, storage, sheared=sheared)
    points = voxel_points(transform.affine, tuple(transform.field.shape[2:]), between=True)
    home, residual_mm = transform.inverse_points(transform.map_points(points))
    np.testing.assert_allclose(home, points, rtol=0, atol=1e-6)
    assert residual_mm.shape == (50,)
    assert residual_mm.max() < 1e-6


def test_points_beyond_the_grid_return_by_the_alignment() -> None:
    transform = gentle_transform(0, "oblique", sheared=True)
    points = geometry.apply(transform.affine, np.array([[-60.0, 3, 4], [5, 70, 2], [5, 3, -40]]))
    home, residual_mm = transform.inverse_points(geometry.apply(transform.alignment, points))
    np.testing.assert_allclose(home, points, rtol=0, atol=1e-9)
    assert residual_mm.max() < 1e-9


def test_residual_tells_of_the_gap_at_a_moved_edge() -> None:
    """The field moves all by 3 voxels: the first three layers are where no point is taken."""
    field = torch.tensor([3.0, 0, 0]).reshape(1, 3, 1, 1, 1).expand(1, 3, 8, 8, 8)
    transform = Transform(np.eye(4), field, np.diag([2.0, 2, 2, 1]))
    points = np.array([[3.0, 4, 4], [8, 4, 4]])
    home, residual_mm = transform.inverse_points(points)
    np.testing.assert_allclose(residual_mm, [6, 0], atol=1e-9)
    np.testing.assert_allclose(home[1], [2, 4, 4], atol=1e-9)


def test_no_points_return_to_no_points() -> None:
    home, residual_mm = random_transform().inverse_points(np.zeros((0, 3)))
    assert (home.shape, residual_mm.shape) == ((0, 3), (0,))


def test_inverse_displacement_is_the_fixed_minus_the_moving_point() -> None:
    transform = gentle_transform(2, "left-handed", sheared=True)
    grid, shape = affine(-33, (2.0, 1.7, 2.1)), (4, 5, 3)
    grid[:3, 3] += geometry.centre_mm(transform.affine, tuple(transform.field.shape[2:]))
    points = geometry.apply(grid, np.indices(shape).reshape(3, -1).T.astype(np.float64))
    expected, _ = transform.inverse_points(points)
    moves = transform.inverse_displacement_mm(grid, shape)
    np.testing.assert_allclose(points + moves.flatten(1).T.numpy(), expected, rtol=0, atol=1e-4)


def test_inverse_of_a_translation_moves_back_where_the_grid_landed() -> None:
    field = torch.tensor([1.0, 0, -2]).reshape(1, 3, 1, 1, 1).expand(1, 3, 5, 5, 5)
    transform = Transform(geometry.translation((10.0, 0.0, 0.0)), field, np.diag([2.0, 2, 2, 1]))
    inverse, residual_mm = transform.inverse()
    assert residual_mm < 1e-6
    np.testing.assert_allclose(
        inverse.map_points(np.array([[16.0, 4, 2], [50, 4, 4]])), [[4, 4, 6], [40, 4, 4]]
    )


def test_inverse_is_refined_until_points_between_voxels_return() -> None:
    transform = gentle_transform(3, "RAS", sheared=False)
    coarse, left_mm = transform.inverse(1)
    fine, less_mm = transform.inverse()
    assert geometry.spacing_mm(fine.affine)[0] < 0.6 * geometry.spacing_mm(coarse.affine)[0]
    assert less_mm < 0.05 < left_mm
    points = voxel_points(transform.affine, tuple(transform.field.shape[2:]), between=True)
    inner = points[transform.inverse_points(points)[1] < 1e-6]
    gaps = [
        np.linalg.norm(item.map_points(transform.map_points(inner)) - inner, axis=1).max()
        for item in (coarse, fine)
    ]
    assert gaps[1] < gaps[0]


@pytest.mark.parametrize("size", [8, 40], ids=["all of it", "a part"])
def test_inverse_of_a_fold_says_what_is_left_and_is_not_refined_for_it(size: int) -> None:
    field = torch.zeros(1, 3, size, 6, 6)
    field[:, 0, 3], field[:, 0, 4] = 3, -3
    inverse, residual_mm = Transform(np.eye(4), field, np.diag([2.0, 2, 2, 1])).inverse()
    assert residual_mm > 1
    np.testing.assert_allclose(geometry.spacing_mm(inverse.affine), 2)


def test_inverse_stays_within_the_memory_it_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    transform = gentle_transform(3, "RAS", sheared=False)
    monkeypatch.setattr(transforms, "MOST_VOXELS", 20_000)
    inverse, residual_mm = transform.inverse()
    assert inverse.field[0, 0].numel() < 20_000
    assert residual_mm > 0.02


def test_inverse_grid_does_not_grow_with_one_wild_voxel() -> None:
    field = torch.zeros(1, 3, 6, 6, 6)
    field[0, :, 3, 3, 3] = 1e5
    inverse, _ = Transform(np.eye(4), field, np.eye(4)).inverse(1)
    assert max(inverse.field.shape[2:]) <= 20
