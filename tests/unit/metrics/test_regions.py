"""Masks cut to their boxes, and put side by side again."""

from __future__ import annotations

import numpy as np

from tenter.metrics.regions import (
    Grid,
    Region,
    bounds,
    hull,
    on_one_grid,
    region,
    same_grid,
    shifted,
)
from tenter.shapes import Mask


def cut(mask: Mask) -> Region:
    found = region(mask)
    assert found is not None
    return found


def test_bounds_are_the_smallest_box() -> None:
    mask = np.zeros((6, 7, 8), dtype=np.bool_)
    mask[1, 2, 7] = mask[4, 3, 5] = True
    assert bounds(mask) == (slice(1, 5), slice(2, 4), slice(5, 8))


def test_an_empty_mask_has_neither_bounds_nor_a_region() -> None:
    empty = np.zeros((3, 3, 3), dtype=np.bool_)
    assert bounds(empty) is None
    assert region(empty) is None


def test_two_regions_keep_their_places_on_one_grid() -> None:
    whole = np.zeros((2, 9, 9, 9), dtype=np.bool_)
    whole[0, 1:4, 2:5, 3:6] = True
    whole[1, 3:8, 4:6, 5:7] = True
    first, second, start = on_one_grid(cut(whole[0]), cut(whole[1]))
    assert start == (1, 2, 3)
    np.testing.assert_array_equal(first, whole[0, 1:8, 2:6, 3:7])
    np.testing.assert_array_equal(second, whole[1, 1:8, 2:6, 3:7])


def test_an_empty_region_takes_no_place() -> None:
    nothing = Region(np.zeros((0, 0, 0), dtype=np.bool_), (0, 0, 0))
    first, second, start = on_one_grid(
        nothing, Region(np.ones((2, 2, 2), dtype=np.bool_), (5, 5, 5))
    )
    assert (start, first.shape) == ((5, 5, 5), (2, 2, 2))
    assert second.all()
    assert not first.any()


def test_a_hull_holds_all_boxes() -> None:
    boxes = [(slice(1, 3), slice(5, 6), slice(0, 9)), (slice(2, 8), slice(1, 2), slice(4, 5))]
    assert hull(boxes) == (slice(1, 8), slice(1, 6), slice(0, 9))


def test_a_shifted_affine_puts_its_first_voxel_where_the_old_one_had_it() -> None:
    affine = np.array([[0, -2.0, 0, 5], [3.0, 0, 0, 6], [0, 0, 4.0, 7], [0, 0, 0, 1]])
    np.testing.assert_allclose(shifted(affine, (1, 2, 3)) @ [0, 0, 0, 1], affine @ [1, 2, 3, 1])


def test_grids_are_the_same_if_shape_and_place_are() -> None:
    grid = Grid(np.eye(4), (3, 4, 5))
    assert same_grid(grid, Grid(np.eye(4), (3, 4, 5)))
    assert not same_grid(grid, Grid(np.eye(4), (3, 4, 6)))
    assert not same_grid(grid, Grid(shifted(np.eye(4), (1, 0, 0)), (3, 4, 5)))
