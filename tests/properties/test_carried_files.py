"""Laws of carrying things through a transform, whatever the grids and the field."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings

from strategies import grids, transforms
from tenter.formats.points import Point
from tenter.metrics.regions import Grid
from tenter.registration.warping import lattice, map_points, warp_values
from tenter.spatial import geometry
from tenter.spatial.transform import Transform


def places_of(grid: Grid) -> np.ndarray:
    """The place of each voxel, `[3, x, y, z]` RAS mm."""
    index = np.indices(grid.shape).reshape(3, -1)
    places: np.ndarray = grid.affine[:3, :3] @ index + grid.affine[:3, 3:]
    return places.reshape(3, *grid.shape)


def clear_of_the_end(transform: Transform, points: np.ndarray) -> np.ndarray:
    """Which points rounding cannot move over the edge where the field ends."""
    voxels = geometry.apply(np.linalg.inv(transform.affine), points)
    gaps = [np.abs(voxels + 0.5), np.abs(voxels + 0.5 - np.array(transform.field.shape[2:]))]
    clear: np.ndarray = np.min(gaps, axis=(0, 2)) > 1e-6
    return clear


@given(transform=transforms(), moving=grids(12), fixed=grids(9))
@settings(max_examples=30)
def test_an_image_of_places_shows_where_each_voxel_comes_from(
    transform: Transform, moving: Grid, fixed: Grid
) -> None:
    starts = places_of(fixed).reshape(3, -1).T
    warped = warp_values(
        places_of(moving), moving.affine, transform, fixed, mode="linear", fill=1e4
    )
    found, expected = warped.values.reshape(3, -1).T, transform.map_points(starts)
    voxels, last = (
        geometry.apply(np.linalg.inv(moving.affine), expected),
        np.array(moving.shape) - 1,
    )
    clear = clear_of_the_end(transform, starts)
    inner = clear & np.all((voxels >= 0) & (voxels <= last), axis=1)
    np.testing.assert_allclose(found[inner], expected[inner], rtol=0, atol=1e-3)
    beyond = clear & np.any((voxels < -0.51) | (voxels > last + 0.51), axis=1)
    assert np.all(found[beyond] == 1e4)


@given(transform=transforms(), fixed=grids(12), moving=grids(9))
@settings(max_examples=30)
def test_the_inverse_of_an_image_of_places_shows_the_inverse_of_points(
    transform: Transform, fixed: Grid, moving: Grid
) -> None:
    warped = warp_values(
        places_of(fixed), fixed.affine, transform, moving, mode="linear", inverse=True
    )
    origins, _ = transform.inverse_points(places_of(moving).reshape(3, -1).T)
    voxels = geometry.apply(np.linalg.inv(fixed.affine), origins)
    inner = np.all((voxels >= 0) & (voxels <= np.array(fixed.shape) - 1), axis=1)
    inner &= clear_of_the_end(transform, origins)
    found = warped.values.reshape(3, -1).T
    np.testing.assert_allclose(found[inner], origins[inner], rtol=0, atol=1e-3)


@given(transform=transforms(), where=grids(6))
@settings(max_examples=30)
def test_points_go_there_and_back(transform: Transform, where: Grid) -> None:
    """Where the field ends two points may meet in one, so that another one may come back;
    but one does.
    """
    places = lattice(where)
    points = [Point(str(i), (x, y, z)) for i, (x, y, z) in enumerate(places.tolist())]
    points = [
        point
        for point, clear in zip(points, clear_of_the_end(transform, places), strict=True)
        if clear
    ]
    assume(points)
    there = map_points(points, transform)
    back = map_points(there.points, transform, inverse=True)
    again = map_points(back.points, transform)
    assert back.residuals_mm == {}
    one, two = (np.array([point.xyz for point in item.points]) for item in (there, again))
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-6)
    assert [point.name for point in back.points] == [point.name for point in points]
