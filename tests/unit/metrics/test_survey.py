"""The pass over the fixed grid: slabs change nothing, boxes miss nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tenter.metrics.deformation import determinants, turned_volume
from tenter.metrics.regions import Box, Grid
from tenter.metrics.survey import survey
from tenter.spatial.transform import Transform

FIXED = Grid(np.diag([-1.5, 1.2, 2.0, 1.0]), (15, 12, 10))
MOVING = np.array([[-1.3, 0, 0, 2], [0, 1.4, 0, -1], [0, 0, 1.8, 0.5], [0, 0, 0, 1]])
BOXES: list[Box] = [
    (slice(2, 6), slice(3, 7), slice(1, 5)),
    (slice(9, 12), slice(1, 3), slice(6, 8)),
    (slice(90, 95), slice(1, 3), slice(6, 8)),
]


def bent(size: float = 1.0) -> Transform:
    random = torch.Generator().manual_seed(1)
    field = torch.randn(1, 3, 8, 8, 8, generator=random) * size
    case = np.array([[3.0, 0, 0, -23], [0, 2.5, 0, -1], [0, 0, 3, -1], [0, 0, 0, 1]])
    return Transform(np.eye(4), torch.nn.functional.avg_pool3d(field, 3, stride=1, padding=1), case)


@pytest.mark.parametrize("voxels", [1, 500])
def test_slabs_of_any_thickness_find_the_same(voxels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = survey(bent(8.0), FIXED, MOVING, BOXES)
    monkeypatch.setattr("tenter.metrics.survey.SLAB_VOXELS", voxels)
    slabs = survey(bent(8.0), FIXED, MOVING, BOXES)
    np.testing.assert_allclose(slabs.determinants, whole.determinants, atol=1e-3)
    assert slabs.turned == pytest.approx(whole.turned, rel=1e-5)
    assert slabs.landings == whole.landings


def test_determinants_are_those_of_the_whole_grid() -> None:
    displacement = bent().displacement_mm(FIXED.affine, FIXED.shape)
    found = survey(bent(), FIXED, MOVING).determinants
    np.testing.assert_allclose(found, determinants(displacement, FIXED.affine), atol=1e-6)


def test_turned_volume_is_that_of_the_whole_grid() -> None:
    displacement = bent(8.0).displacement_mm(FIXED.affine, FIXED.shape)
    found = survey(bent(8.0), FIXED, MOVING)
    assert found.turned == pytest.approx(turned_volume(displacement, FIXED.affine), rel=1e-6)
    assert found.ndv_percent == pytest.approx(100 * found.turned / (13 * 10 * 8))
    assert found.ndv_percent > 1


@pytest.mark.parametrize("shape", [(1, 5, 5), (5, 2, 5), (9, 1, 1)])
def test_a_grid_without_inner_voxels_has_no_share_of_volume(shape: tuple[int, int, int]) -> None:
    assert np.isnan(survey(bent(), Grid(FIXED.affine, shape), MOVING).ndv_percent)


@pytest.mark.parametrize("index", [0, 1])
def test_a_landing_holds_every_voxel_that_maps_next_to_the_box_and_no_margin(index: int) -> None:
    places = bent().coordinates(FIXED.affine, FIXED.shape, MOVING)[0].numpy()
    near = np.ones(FIXED.shape, dtype=np.bool_)
    for axis, extent in zip(places, BOXES[index], strict=True):
        near &= (axis > extent.start - 1) & (axis < extent.stop)
    found = np.argwhere(near)
    expected = tuple(slice(a, b + 1) for a, b in zip(found.min(axis=0), found.max(axis=0), strict=True))
    assert survey(bent(), FIXED, MOVING, BOXES).landings[index] == expected


def test_a_box_that_nothing_maps_to_lands_nowhere() -> None:
    assert survey(bent(), FIXED, MOVING, BOXES).landings[2] is None
    assert survey(bent(), FIXED, MOVING, BOXES[2:]).landings == (None,)
