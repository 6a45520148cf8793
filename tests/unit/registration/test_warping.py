"""Small cases by hand; laws are in tests/properties,
agreement with SimpleITK in tests/unit/tools.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tenter.formats.points import Point
from tenter.metrics.regions import Grid
from tenter.registration.warping import covers, lattice, map_points, meets, unreturned, warp_values
from tenter.spatial import pull
from tenter.spatial.geometry import translation
from tenter.spatial.transform import Transform

LINE = np.arange(1, 5, dtype=np.int16).reshape(1, 4, 1, 1).repeat(3, 2).repeat(3, 3)
"""1, 2, 3, 4 along the first axis."""


def moved(x: float, field: float = 0.0, shape: tuple[int, int, int] = (4, 4, 4)) -> Transform:
    """x mm along the first axis everywhere, and `field` voxels more within the grid of 1 mm."""
    moves = torch.zeros(1, 3, *shape)
    moves[:, 0] = field
    return Transform(translation((x, 0.0, 0.0)), moves, np.eye(4))


@pytest.mark.parametrize(
    ("shift", "expected"),
    [
        (0.25, [1.25, 2.25, 3.25, 4.0]),
        (0.75, [1.75, 2.75, 3.75, 9.0]),
        (-0.25, [1.0, 1.75, 2.75, 3.75]),
        (-0.75, [9.0, 1.25, 2.25, 3.25]),
    ],
)
def test_a_volume_ends_half_a_voxel_beyond_its_centres(shift: float, expected: list[float]) -> None:
    grid = Grid(np.eye(4), (4, 3, 3))
    warped = warp_values(LINE, np.eye(4), moved(shift), grid, mode="linear", fill=9.0)
    assert warped.values[0, :, 1, 1].tolist() == expected
    assert warped.within == (0.75 if 9.0 in expected else 1.0)
    assert warped.values.dtype == np.float32


def test_the_edge_continues_where_asked_for() -> None:
    grid = Grid(np.eye(4), (4, 3, 3))
    warped = warp_values(LINE, np.eye(4), moved(2.5), grid, mode="linear", fill="edge")
    assert warped.values[0, :, 1, 1].tolist() == [3.5, 4.0, 4.0, 4.0]
    assert warped.within == 0.25


def test_the_nearest_voxel_keeps_the_type_and_fills() -> None:
    grid = Grid(np.eye(4), (4, 3, 3))
    warped = warp_values(LINE, np.eye(4), moved(1.2), grid, mode="nearest", fill=-1.0)
    assert warped.values[0, :, 0, 0].tolist() == [2, 3, 4, -1]
    assert warped.values.dtype == np.int16


def test_inverse_moves_the_other_way() -> None:
    grid = Grid(np.eye(4), (4, 3, 3))
    warped = warp_values(LINE, np.eye(4), moved(1.0), grid, mode="linear", inverse=True)
    assert warped.values[0, :, 1, 1].tolist() == [0.0, 1.0, 2.0, 3.0]


def test_slabs_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(2, 9, 8, 7)).astype(np.float32)
    transform = Transform(
        np.eye(4), torch.from_numpy(random.normal(size=(1, 3, 5, 5, 5))), np.diag([2, 2, 2, 1.0])
    )
    results = []
    for voxels in (10**6, 3 * 8 * 7, 1):
        monkeypatch.setattr(pull, "SLAB_VOXELS", voxels)
        results.append(
            warp_values(values, np.eye(4), transform, Grid(np.eye(4), (10, 8, 7)), mode="linear")
        )
    for other in results[1:]:
        np.testing.assert_array_equal(results[0].values, other.values)
        assert results[0].within == other.within


def test_points_beyond_the_field_are_named() -> None:
    points = [
        Point("in", (1.0, 1.0, 1.0)),
        Point("edge", (3.4, 0.0, 0.0)),
        Point("out", (3.6, 0.0, 0.0)),
    ]
    mapped = map_points(points, moved(10.0, field=0.5))
    assert [point.xyz[0] for point in mapped.points] == pytest.approx([11.5, 13.9, 13.6])
    assert mapped.outside == ("out",)


def test_of_moving_points_the_fixed_ones_count_as_beyond() -> None:
    points = [Point("in", (11.5, 1.0, 1.0)), Point("out", (16.0, 0.0, 0.0))]
    mapped = map_points(points, moved(10.0, field=0.5), inverse=True)
    assert [point.xyz[0] for point in mapped.points] == pytest.approx([1.0, 6.0])
    assert (mapped.outside, mapped.residuals_mm) == (("out",), {})


def test_a_field_of_nothing_covers_everything() -> None:
    far = np.array([[900.0, 0.0, 0.0]])
    assert covers(moved(5.0), far).all()
    assert not covers(moved(5.0, field=0.1), far).any()


@pytest.mark.parametrize(
    ("place", "inverse", "expected"),
    [(0.0, False, True), (50.0, False, False), (50.0, True, True), (0.0, True, False)],
)
def test_a_reference_must_meet_the_grid_on_its_side(
    place: float, *, inverse: bool, expected: bool
) -> None:
    grid = Grid(translation((place, 0.0, 0.0)), (3, 3, 3))
    assert meets(moved(50.0, field=0.1), grid, inverse=inverse) is expected


@pytest.mark.parametrize("spacing", [0.01, 1000.0])
def test_grids_meet_whichever_is_the_smaller(spacing: float) -> None:
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = 1.5 - spacing
    grid = Grid(affine, (3, 3, 3))
    assert meets(moved(0.0, field=0.1), grid)


def test_the_gap_at_the_edge_of_a_field_has_no_inverse() -> None:
    """All of [-0.5, 3.5) moves to [0.5, 4.5): nothing comes to the first of four voxels."""
    share, worst = unreturned(moved(0.0, field=1.0), Grid(np.eye(4), (4, 4, 4)))
    assert share == 0.25
    assert worst >= 0.5
    assert unreturned(moved(3.0), Grid(np.eye(4), (4, 4, 4))) == (0.0, 0.0)


def test_a_lattice_spans_its_grid() -> None:
    grid = Grid(np.diag([2.0, 1.0, 1.0, 1.0]), (50, 2, 3))
    places = lattice(grid)
    assert len(places) == 17 * 2 * 3
    np.testing.assert_array_equal([places.min(axis=0), places.max(axis=0)], [[0, 0, 0], [98, 1, 2]])
