"""Laws that every measure obeys, on masks and figures of any kind."""

from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.meandice import compute_dice
from scipy import ndimage
from scipy.spatial.transform import Rotation

from strategies import masks, seeds, spacings
from tenter.metrics import strict
from tenter.metrics.centroids import centroid_distance_mm
from tenter.metrics.measurands import WarpedLabel
from tenter.metrics.overlap import dice
from tenter.metrics.regions import Region, region
from tenter.metrics.surfaces import surface_distances
from tenter.shapes import Mask, Matrix
from tenter.statistics.comparison import holm
from tenter.statistics.distribution import quantiles
from tenter.statistics.intervals import median_interval

SPACING = (0.7, 1.3, 2.0)


def label_values(warped: Region, fixed: Region, affine: Matrix) -> dict[str, float | None]:
    """Every strict metric of a structure."""
    return strict.values("label", "structure", WarpedLabel.of(warped, fixed, affine))


def _cut(mask: Mask) -> Region:
    found = region(mask)
    assert found is not None
    return found


def _image(mask: Mask, affine: Matrix) -> sitk.Image:
    """A mask as SimpleITK sees it, on an oblique and anisotropic grid; LPS."""
    image = sitk.GetImageFromArray(mask.T.astype(np.uint8))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    to_lps = np.diag([-1.0, -1.0, 1.0])
    image.SetSpacing(spacing.tolist())
    image.SetDirection((to_lps @ affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin((to_lps @ affine[:3, 3]).tolist())
    return image


def _oblique(spacing: tuple[float, float, float], seed: int) -> Matrix:
    random = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.random(rng=random).as_matrix() * spacing * random.choice([-1, 1], 3)
    affine[:3, 3] = random.uniform(-50, 50, 3)
    return affine


def _figures(first: Mask, second: Mask, affine: Matrix) -> dict[str, float]:
    found = label_values(Region(first, (0, 0, 0)), Region(second, (0, 0, 0)), affine)
    return {name: value for name, value in found.items() if value is not None}


def _shell(mask: Mask) -> Mask:
    return np.asarray(mask ^ ndimage.binary_erosion(mask))


errors = st.lists(st.floats(0, 100) | st.just(math.inf), min_size=1, max_size=30)


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
    there, back = (
        surface_distances(first, second, SPACING),
        surface_distances(second, first, SPACING),
    )
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
    whole = label_values(Region(first, (0, 0, 0)), Region(second, (0, 0, 0)), affine)
    cut = label_values(_cut(first), _cut(second), affine)
    assert whole == pytest.approx(cut, abs=1e-9)


@given(masks, masks, spacings(0.3, 4), seeds)
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
    assert (
        quantiles(np.array(worse), (share,))[0] >= quantiles(np.array(values), (share,))[0] - 1e-9
    )


@given(errors)
@settings(max_examples=25)
def test_the_order_of_values_does_not_change_an_interval(values: list[float]) -> None:
    patients = [(f"p{index // 2}",) for index in range(len(values))]
    order = np.random.default_rng(len(values)).permutation(len(values))
    first = median_interval(np.array(values), patients)
    again = median_interval(np.array(values)[order], [patients[i] for i in order])
    np.testing.assert_array_equal(first, again)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holms_correction_never_lowers_a_p_and_keeps_their_order(values: list[float]) -> None:
    adjusted = holm(values)
    assert all(value <= found <= 1 for value, found in zip(values, adjusted, strict=True))
    assert [adjusted[i] for i in np.argsort(values, kind="stable")] == sorted(adjusted)


@given(masks, masks, spacings(0.3, 4), seeds)
@settings(max_examples=25)
def test_overlap_and_centroids_are_those_of_simpleitk_on_oblique_grids(
    first: Mask, second: Mask, spacing: tuple[float, float, float], seed: int
) -> None:
    assume(first.any() and second.any())
    affine = _oblique(spacing, seed)
    images = [_image(mask, affine) for mask in (first, second)]
    overlap, shapes = sitk.LabelOverlapMeasuresImageFilter(), sitk.LabelShapeStatisticsImageFilter()
    overlap.Execute(*images)
    ends = []
    for image in images:
        shapes.Execute(image)
        ends.append(np.array(shapes.GetCentroid(1)))
    found = _figures(first, second, affine)
    assert found["dice"] == pytest.approx(overlap.GetDiceCoefficient(1), abs=1e-6)
    assert found["tre"] == pytest.approx(float(np.linalg.norm(ends[0] - ends[1])), abs=1e-6)


@given(masks, masks, spacings(0.3, 4), seeds)
@settings(max_examples=25)
def test_hausdorffs_distance_is_that_of_simpleitk_between_surfaces(
    first: Mask, second: Mask, spacing: tuple[float, float, float], seed: int
) -> None:
    """SimpleITK measures between sets: it is given the shells that SciPy's erosion leaves."""
    assume(first.any() and second.any())
    affine = _oblique(spacing, seed)
    measure = sitk.HausdorffDistanceImageFilter()
    measure.Execute(*(_image(_shell(mask), affine) for mask in (first, second)))
    found = surface_distances(first, second, spacing)
    assert found is not None
    assert found.hausdorff(100.0) == pytest.approx(measure.GetHausdorffDistance(), rel=1e-6)


@given(masks, masks, spacings(0.3, 4), seeds)
@settings(max_examples=25)
def test_mean_and_95_percent_distance_are_those_of_scipys_distance_transform(
    first: Mask, second: Mask, spacing: tuple[float, float, float], seed: int
) -> None:
    assume(first.any() and second.any())
    shells = [_shell(first), _shell(second)]
    maps = [ndimage.distance_transform_edt(~shell, sampling=spacing) for shell in shells]
    directed = [maps[1][shells[0]], maps[0][shells[1]]]
    found = _figures(first, second, _oblique(spacing, seed))
    assert found["surface_distance"] == pytest.approx(
        float(np.mean(np.concatenate(directed))), abs=1e-6
    )
    assert found["hd95"] == pytest.approx(
        max(float(np.percentile(d, 95)) for d in directed), abs=1e-6
    )


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@given(masks, masks, spacings(0.3, 4))
@settings(max_examples=25)
def test_dice_and_95_percent_distance_are_those_of_monai(
    first: Mask, second: Mask, spacing: tuple[float, float, float]
) -> None:
    assume(first.any() and second.any())
    sides = [torch.from_numpy(np.pad(mask, 1))[None, None].float() for mask in (first, second)]
    expected = compute_hausdorff_distance(
        sides[0], sides[1], include_background=True, percentile=95, spacing=list(spacing)
    )
    found = _figures(first, second, np.diag([*spacing, 1.0]))
    assert found["hd95"] == pytest.approx(float(expected), abs=1e-4)  # MONAI rounds to float32
    assert found["dice"] == pytest.approx(
        float(compute_dice(sides[0], sides[1], include_background=True)), abs=1e-6
    )
