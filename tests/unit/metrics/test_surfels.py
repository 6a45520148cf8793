"""Surfaces whose elements count by area: areas by geometry, percentiles by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tenter.metrics.surfels import CORNERS, areas, robust_hausdorff
from tenter.shapes import Mask


def box(low: tuple[int, int, int], size: tuple[int, int, int]) -> Mask:
    mask = np.zeros((14, 12, 10), dtype=np.bool_)
    mask[tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))] = True
    return mask


def surface_area(mask: Mask) -> float:
    padded = np.pad(mask, 1)
    shape = tuple(size - 1 for size in padded.shape)
    codes = sum(
        padded[tuple(slice(a, a + n) for a, n in zip(corner, shape, strict=True))].astype(int)
        << bit
        for bit, corner in enumerate(CORNERS)
    )
    return float(areas()[codes].sum())


def test_a_single_voxel_is_an_octahedron() -> None:
    """Its vertices are half a voxel from the centre, so its edges are sqrt(1/2)."""
    assert surface_area(box((5, 5, 5), (1, 1, 1))) == pytest.approx(2 * math.sqrt(3) / 2)


@pytest.mark.parametrize("size", [(2, 2, 2), (5, 3, 4), (2, 7, 3)])
def test_a_box_has_square_faces_bevelled_edges_and_cut_corners(size: tuple[int, int, int]) -> None:
    a, b, c = (n - 1 for n in size)
    expected = 2 * (a * b + b * c + a * c) + 4 * (a + b + c) * math.sqrt(0.5) + 8 * math.sqrt(3) / 8
    assert surface_area(box((1, 2, 3), size)) == pytest.approx(expected)


def test_inside_and_outside_share_their_surface() -> None:
    np.testing.assert_allclose(areas(), areas()[::-1])


def test_a_cube_within_a_mask_and_one_without_have_no_surface() -> None:
    assert (areas()[0], areas()[255]) == (0, 0)


def test_corners_that_no_edge_joins_are_cut_off_each_for_itself() -> None:
    opposite = (1 << CORNERS.index((0, 0, 0))) | (1 << CORNERS.index((1, 1, 1)))
    assert areas()[opposite] == pytest.approx(2 * math.sqrt(3) / 8)


@pytest.mark.parametrize(
    ("percentile", "expected"), [(0.0, 2), (50.0, 2), (51.0, 3), (95.0, 3), (100.0, 3)]
)
def test_two_voxels_three_apart(percentile: float, expected: float) -> None:
    """Of each one's eight equal elements four are 2 and four are 3 voxels from the other's."""
    first, second = box((2, 5, 5), (1, 1, 1)), box((5, 5, 5), (1, 1, 1))
    assert robust_hausdorff(first, second, percentile) == expected


def test_elements_count_by_area() -> None:
    """A rod of 2 voxels on a plate: 8 of 12 elements are corners,
    the other 4 edges of larger area.
    """
    rod, tip = box((4, 5, 5), (2, 1, 1)), box((4, 5, 5), (1, 1, 1))
    corners, edges = 8 * math.sqrt(3) / 8, 4 * math.sqrt(2) / 2
    far = corners / 2 / (corners + edges)
    assert robust_hausdorff(rod, tip, 100 * (1 - far) - 0.01) == 0
    assert robust_hausdorff(rod, tip, 100 * (1 - far) + 0.01) == 1


def test_a_mask_at_the_edge_of_its_grid_is_closed_there() -> None:
    edge, inside = box((0, 0, 0), (3, 3, 3)), box((4, 4, 4), (3, 3, 3))
    assert surface_area(edge) == pytest.approx(surface_area(inside))


def test_to_nothing_it_is_infinitely_far() -> None:
    full, empty = box((2, 2, 2), (3, 3, 3)), box((2, 2, 2), (0, 0, 0))
    assert robust_hausdorff(full, empty) == robust_hausdorff(empty, full) == math.inf
