"""µ-RegPro's figures by hand and by SciPy, with the code's faults."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from tenter.metrics import muregpro
from tenter.metrics.muregpro import SoftLabel

SHAPE = (16, 14, 12)


def cube(x: int, y: int, z: int, side: int = 3) -> SoftLabel:
    label = np.zeros(SHAPE)
    label[x : x + side, y : y + side, z : z + side] = 1
    return label


NOTHING = np.zeros(SHAPE)


def by_five_dimensions(first: SoftLabel, second: SoftLabel) -> float:
    """As the code does it: erosion and distance transform of arrays 1 x X x Y x Z x 1."""
    sides = [label[None, ..., None] != 0 for label in (first, second)]
    footprint = ndimage.generate_binary_structure(5, 1)
    borders = [side ^ ndimage.binary_erosion(side, structure=footprint) for side in sides]
    there = ndimage.distance_transform_edt(~borders[0])[borders[1]]
    back = ndimage.distance_transform_edt(~borders[1])[borders[0]]
    return float(np.percentile(np.hstack([there, back]), 95))


@pytest.mark.parametrize(
    ("moved", "expected"),
    [((6, 0, 0), 2.0), ((3, 4, 0), 7 / 3), ((1, 1, 1), 1.0), ((0, 0, 0), 0.0)],
)
def test_an_error_is_the_mean_over_the_axes(moved: tuple[int, int, int], expected: float) -> None:
    first, second = cube(2, 2, 2), cube(2 + moved[0], 2 + moved[1], 2 + moved[2])
    assert muregpro.centroid_error(first, second) == pytest.approx(expected)


def test_centroids_are_cut_to_whole_voxels() -> None:
    """A side of 4 puts the centroid at 3.5, a side of 3 at 3."""
    assert muregpro.centroid_error(cube(2, 2, 2, side=4), cube(2, 2, 2, side=3)) == 0


def test_an_empty_label_is_at_voxel_0() -> None:
    assert muregpro.centroid_error(cube(2, 5, 8), NOTHING) == pytest.approx((3 + 6 + 9) / 3)
    assert muregpro.centroid_error(NOTHING, NOTHING) == 0


def test_only_values_above_a_half_have_a_centroid() -> None:
    soft = cube(2, 2, 2) + 0.5 * cube(9, 9, 9)
    assert muregpro.centroid_error(soft, cube(2, 2, 2)) == 0


def test_dice_is_soft() -> None:
    assert muregpro.soft_dice(cube(2, 2, 2), 0.5 * cube(2, 2, 2)) == pytest.approx(2 * 0.5 / 1.5)
    assert muregpro.soft_dice(NOTHING, NOTHING) == 0


def test_every_voxel_counts_for_the_distance_and_shared_ones_are_at_0() -> None:
    """Two cubes 1 apart share two thirds, so that a third of all voxels are 1 away."""
    assert muregpro.hd95(cube(2, 2, 2), cube(3, 2, 2)) == 1
    large = cube(1, 1, 1, side=10)
    assert muregpro.hd95(large, large + 5 * cube(11, 5, 5, side=1)) == 0


@pytest.mark.parametrize("seed", range(4))
def test_distances_are_those_of_the_code(seed: int) -> None:
    random = np.random.default_rng(seed)
    first, second = (
        np.clip(ndimage.gaussian_filter(random.normal(size=SHAPE), 1.5) - 0.1, 0, 1)
        for _ in range(2)
    )
    assert muregpro.hd95(first, second) == pytest.approx(
        by_five_dimensions(first, second), abs=1e-9
    )


def test_distances_to_nothing_are_to_the_corner() -> None:
    label = cube(3, 4, 5)
    assert muregpro.hd95(label, NOTHING) == pytest.approx(by_five_dimensions(label, NOTHING))
    assert muregpro.hd95(NOTHING, NOTHING) == 0


def test_any_trace_of_a_warped_label_belongs_to_it() -> None:
    traces = cube(2, 2, 2) + 1e-6 * cube(9, 2, 2)
    assert muregpro.hd95(cube(2, 2, 2), traces) > 6


def test_a_label_at_the_edge_is_drawn_out() -> None:
    label = cube(0, 5, 5)
    field = np.zeros((3, *SHAPE), np.float32)
    field[0] = -4
    assert muregpro.warped(label, field)[:7, 6, 6] == pytest.approx(np.ones(7))


def test_labels_are_stretched() -> None:
    np.testing.assert_allclose(
        muregpro.stretched(0.2 + 0.4 * cube(2, 2, 2)), cube(2, 2, 2), atol=1e-12
    )
    assert muregpro.stretched(NOTHING) is NOTHING


def test_an_unregistered_label_is_squeezed_into_the_fixed_shape() -> None:
    """Linear between the middles of voxels: a plane between 0 and 1 becomes 0.25 and 0.75."""
    label = np.zeros((8, 4, 4))
    label[4:] = 1
    assert muregpro.resized(label, (16, 4, 4))[:, 0, 0] == pytest.approx(
        [0] * 7 + [0.25, 0.75] + [1] * 7
    )
    assert muregpro.resized(label, (4, 8, 2)).shape == (4, 8, 2)


def test_a_label_that_shrinks_is_smoothed_first() -> None:
    """By half a voxel, as factor 2 less 1 is halved; so that its edge is no longer sharp."""
    label = np.zeros((8, 4, 4))
    label[3:] = 1
    smooth = ndimage.gaussian_filter1d(label[:, 0, 0], 0.5, mode="mirror")
    pairs = smooth.reshape(4, 2).mean(axis=1)
    expected = (pairs - pairs.min()) / (pairs.max() - pairs.min())
    assert muregpro.resized(label, (4, 4, 4))[:, 0, 0] == pytest.approx(expected)


def test_unregistered_labels_are_compared_by_index() -> None:
    found = muregpro.unregistered(cube(2, 2, 2), cube(5, 6, 2))
    assert found["muregpro_unregistered_tre"] == pytest.approx(7 / 3)
    assert found["muregpro_unregistered_hd95"] == muregpro.hd95(cube(2, 2, 2), cube(5, 6, 2))
