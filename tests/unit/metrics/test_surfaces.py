"""Distances of surfaces, against hand-made shapes, SciPy, SimpleITK and MONAI."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.metrics.hausdorff_distance import HausdorffDistanceMetric
from monai.metrics.surface_distance import SurfaceDistanceMetric
from scipy import ndimage

from tenter.metrics.surfaces import SurfaceDistances, surface, surface_distances
from tenter.shapes import Mask

MONAI_WARNS = pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
SPACING = (0.8, 1.1, 2.5)


def ellipsoid(centre: tuple[float, float, float], radius: float) -> Mask:
    x, y, z = np.indices((22, 20, 18))
    inside: Mask = (x - centre[0]) ** 2 + 1.4 * (y - centre[1]) ** 2 + 2 * (
        z - centre[2]
    ) ** 2 < radius**2
    return inside


def measured() -> SurfaceDistances:
    found = surface_distances(FIRST, SECOND, SPACING)
    assert found is not None
    return found


FIRST, SECOND = ellipsoid((10, 10, 9), 7), ellipsoid((12, 9, 8), 5.5)


def test_a_cube_has_a_surface_and_an_inside() -> None:
    cube = np.zeros((7, 7, 7), dtype=np.bool_)
    cube[1:6, 1:6, 1:6] = True
    assert np.count_nonzero(surface(cube)) == 5**3 - 3**3


def test_beyond_the_grid_is_outside() -> None:
    assert np.count_nonzero(surface(np.ones((4, 4, 4), dtype=np.bool_))) == 4**3 - 2**3


def test_the_surface_is_what_scipys_erosion_takes_away() -> None:
    np.testing.assert_array_equal(surface(FIRST), FIRST ^ ndimage.binary_erosion(FIRST))


def test_distances_are_those_of_an_exact_distance_transform() -> None:
    to_second = ndimage.distance_transform_edt(~surface(SECOND), sampling=SPACING)
    np.testing.assert_allclose(measured().forth, to_second[surface(FIRST)], atol=1e-10)


def test_the_hausdorff_distance_is_that_of_simpleitk() -> None:
    images = []
    for mask in (FIRST, SECOND):
        image = sitk.GetImageFromArray(mask.astype(np.uint8).transpose(2, 1, 0))
        image.SetSpacing(SPACING)
        images.append(image)
    whole = sitk.HausdorffDistanceImageFilter()
    whole.Execute(*images)
    assert measured().hausdorff(100.0) == pytest.approx(whole.GetHausdorffDistance(), abs=1e-6)


@MONAI_WARNS
def test_the_95_percent_hausdorff_distance_is_that_of_monai() -> None:
    metric = HausdorffDistanceMetric(percentile=95)
    first, second = (torch.from_numpy(mask)[None, None].float() for mask in (FIRST, SECOND))
    expected = metric(first, second, spacing=SPACING)
    assert isinstance(expected, torch.Tensor)
    assert measured().hausdorff() == pytest.approx(expected.item(), abs=1e-6)


@MONAI_WARNS
def test_the_mean_surface_distance_is_that_of_monai() -> None:
    metric = SurfaceDistanceMetric(symmetric=True)
    first, second = (torch.from_numpy(mask)[None, None].float() for mask in (FIRST, SECOND))
    expected = metric(first, second, spacing=SPACING)
    assert isinstance(expected, torch.Tensor)
    assert measured().mean() == pytest.approx(expected.item(), abs=1e-6)


def test_an_empty_mask_has_no_distance() -> None:
    assert surface_distances(np.zeros_like(FIRST), SECOND, SPACING) is None


@pytest.mark.parametrize("axis", range(3))
def test_the_surface_of_a_slice_is_its_contour(axis: int) -> None:
    first, second = (mask[:, :, 9] for mask in (FIRST, SECOND))
    one, other = (np.expand_dims(mask, axis) for mask in (first, second))
    contour = first ^ ndimage.binary_erosion(first)
    np.testing.assert_array_equal(surface(one, axis).squeeze(axis), contour)
    spacing = [0.8, 1.1]
    x, y, z = (float(step) for step in np.insert(spacing, axis, 2.5))
    found = surface_distances(one, other, (x, y, z), axis)
    assert found is not None
    others = second ^ ndimage.binary_erosion(second)
    to_second = ndimage.distance_transform_edt(~others, sampling=spacing)
    to_first = ndimage.distance_transform_edt(~contour, sampling=spacing)
    assert np.allclose(np.sort(found.forth), np.sort(to_second[contour]))
    assert np.allclose(np.sort(found.back), np.sort(to_first[others]))
    images = [sitk.GetImageFromArray(mask.T.astype(np.uint8)) for mask in (contour, others)]
    for image in images:
        image.SetSpacing(spacing)
    reference = sitk.HausdorffDistanceImageFilter()
    reference.Execute(*images)
    assert found.hausdorff(100.0) == pytest.approx(reference.GetHausdorffDistance())
