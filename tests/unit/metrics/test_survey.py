"""The pass over the fixed grid: slabs change nothing, boxes miss nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from tenter.metrics.deformation import determinants, turned_volume
from tenter.metrics.regions import Box, Grid
from tenter.metrics.survey import survey
from tenter.spatial import jacobian, planes
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


@pytest.mark.parametrize("shape", [(2, 5, 5), (1, 2, 5), (9, 1, 1)])
def test_a_grid_without_inner_voxels_has_no_share_of_volume(shape: tuple[int, int, int]) -> None:
    assert np.isnan(survey(bent(), Grid(FIXED.affine, shape), MOVING).ndv_percent)


@pytest.mark.parametrize("index", [0, 1])
def test_a_landing_holds_every_voxel_that_maps_next_to_the_box_and_no_margin(index: int) -> None:
    places = bent().coordinates(FIXED.affine, FIXED.shape, MOVING)[0].numpy()
    near = np.ones(FIXED.shape, dtype=np.bool_)
    for axis, extent in zip(places, BOXES[index], strict=True):
        near &= (axis > extent.start - 1) & (axis < extent.stop)
    found = np.argwhere(near)
    expected = tuple(
        slice(a, b + 1) for a, b in zip(found.min(axis=0), found.max(axis=0), strict=True)
    )
    assert survey(bent(), FIXED, MOVING, BOXES).landings[index] == expected


def test_a_box_that_nothing_maps_to_lands_nowhere() -> None:
    assert survey(bent(), FIXED, MOVING, BOXES).landings[2] is None
    assert survey(bent(), FIXED, MOVING, BOXES[2:]).landings == (None,)


@pytest.mark.parametrize("axis", range(3))
def test_a_slice_changes_areas_as_the_field_does_and_volumes_as_the_alignment_does(
    axis: int,
) -> None:
    shape, steps = [13, 11], [1.5, 2.0]
    shape.insert(axis, 1)
    steps.insert(axis, 6.0)
    turn = Rotation.from_euler("xyz", [20, -30, 50], degrees=True).as_matrix()
    affine = np.diag([*steps, 1.0])
    affine[:3, :3] = turn @ affine[:3, :3]
    plane = 0.8 * torch.randn(
        1, 2, 13, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    alignment = np.eye(4)
    # A slice that is turned out of its plane, grown by a quarter and mirrored,
    # shrunk along its normal.
    alignment[:3, :3] = Rotation.from_euler("y", 90, degrees=True).as_matrix() @ np.diag(
        [-1.25, 1, 0.9]
    )
    grid = Grid(affine, (shape[0], shape[1], shape[2]))
    for whole, factor in ((np.eye(4), 1.0), (alignment, -1.125)):
        found = survey(Transform(whole, planes.to_space(plane, axis), affine), grid, MOVING)
        expected = factor * jacobian.determinant(plane)[0].unsqueeze(axis).numpy()
        np.testing.assert_allclose(found.determinants, expected, atol=1e-9)
        assert np.count_nonzero(expected <= 0) > 5


def test_the_area_that_a_slice_turns_inside_out_is_that_of_its_triangles() -> None:
    field = torch.zeros(1, 3, 7, 6, 1)
    field[0, 0, 3, 3, 0] = 2.0
    grid = Grid(np.diag([1.0, 1.0, 4.0, 1.0]), (7, 6, 1))
    found = survey(Transform(np.eye(4), field, grid.affine), grid, np.eye(4))
    # The voxel lands 1 beyond its neighbour; each of the two ways to cut squares counts for half.
    landed = np.indices((7, 6)).astype(float)
    landed[0, 3, 3] += 2
    areas = []
    for x in range(1, 6):
        for y in range(1, 5):
            for right, up in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                first = landed[:, x + right, y] - landed[:, x, y]
                second = landed[:, x, y + up] - landed[:, x, y]
                areas.append(right * up * (first[0] * second[1] - first[1] * second[0]) / 2)
    assert found.turned == pytest.approx(-sum(area for area in areas if area < 0) / 2)
    assert found.turned > 0.4
    assert found.ndv_percent == pytest.approx(100 * found.turned / (5 * 4))
