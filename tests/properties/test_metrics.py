"""Laws that every measure obeys, on masks and figures of any kind."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from tenter.metrics.centroids import centroid_distance_mm
from tenter.metrics.comparison import holm
from tenter.metrics.overlap import dice
from tenter.metrics.regions import Region, region
from tenter.metrics.strict import label_figures
from tenter.metrics.summary import generator, median_interval, quantiles
from tenter.metrics.surfaces import surface_distances
from tenter.shapes import Mask

SPACING = (0.7, 1.3, 2.0)


def _cut(mask: Mask) -> Region:
    found = region(mask)
    assert found is not None
    return found


masks = hnp.arrays(np.bool_, (5, 4, 6), elements=st.booleans())
spacings = st.tuples(*[st.floats(0.3, 4)] * 3)
errors = st.lists(st.floats(0, 100) | st.just(math.inf), min_size=1, max_size=30)


@given(masks, masks)
def test_dice_is_symmetric_and_lies_between_0_and_1(first: Mask, second: Mask) -> None:
    assume(first.any() or second.any())
    assert dice(first, second) == dice(second, first)
    assert 0 <= dice(first, second) <= 1


@given(masks)
@settings(max_examples=30)
def test_a_mask_is_at_no_distance_from_itself(mask: Mask) -> None:
    assume(mask.any())
    found = surface_distances(mask, mask, SPACING)
    assert found is not None
    assert (dice(mask, mask), found.hausdorff(100.0), found.mean()) == (1, 0, 0)


@given(masks, masks)
@settings(max_examples=30)
def test_distances_of_surfaces_are_symmetric_and_ordered(first: Mask, second: Mask) -> None:
    assume(first.any() and second.any())
    there, back = surface_distances(first, second, SPACING), surface_distances(second, first, SPACING)
    assert there is not None
    assert back is not None
    assert there.hausdorff() == back.hausdorff() <= there.hausdorff(100.0)
    assert there.mean() == pytest.approx(back.mean())
    assert there.mean() <= there.hausdorff(100.0) + 1e-12


@given(masks, masks)
@settings(max_examples=30)
def test_cutting_masks_to_their_boxes_changes_no_figure(first: Mask, second: Mask) -> None:
    assume(first.any() and second.any())
    affine = np.diag([*SPACING, 1.0])
    whole = label_figures(Region(first, (0, 0, 0)), Region(second, (0, 0, 0)), affine, surfaces=True)
    cut = label_figures(_cut(first), _cut(second), affine, surfaces=True)
    assert whole == pytest.approx(cut, abs=1e-9)


@given(masks, masks, spacings, st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_the_error_of_centroids_survives_a_rigid_motion_of_the_world(
    first: Mask, second: Mask, spacing: tuple[float, float, float], seed: int
) -> None:
    assume(first.any() and second.any())
    moved = np.eye(4)
    moved[:3, :3] = Rotation.random(rng=np.random.default_rng(seed)).as_matrix() * spacing
    moved[:3, 3] = [100, -50, 25]
    still = centroid_distance_mm(first, second, np.diag([*spacing, 1.0]))
    assert centroid_distance_mm(first, second, moved) == pytest.approx(still, abs=1e-9)


@given(errors, st.floats(0, 1))
def test_a_quantile_lies_between_the_best_and_the_worst(values: list[float], share: float) -> None:
    found = quantiles(np.array(values), (share,))[0]
    assert min(values) - 1e-9 <= found <= max(values) + 1e-9


@given(errors, st.floats(0, 1))
def test_losing_a_label_never_improves_a_quantile(values: list[float], share: float) -> None:
    worse = [math.inf, *values[1:]]
    assert quantiles(np.array(worse), (share,))[0] >= quantiles(np.array(values), (share,))[0] - 1e-9


@given(errors)
@settings(max_examples=25)
def test_the_order_of_values_does_not_change_an_interval(values: list[float]) -> None:
    patients = [(f"p{index // 2}",) for index in range(len(values))]
    order = np.random.default_rng(len(values)).permutation(len(values))
    first = median_interval(np.array(values), patients, 100, generator(0))
    again = median_interval(np.array(values)[order], [patients[i] for i in order], 100, generator(0))
    np.testing.assert_array_equal(first, again)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holms_correction_never_lowers_a_p_and_keeps_their_order(values: list[float]) -> None:
    adjusted = holm(values)
    assert all(value <= found <= 1 for value, found in zip(values, adjusted, strict=True))
    assert [adjusted[i] for i in np.argsort(values, kind="stable")] == sorted(adjusted)
