"""The map in voxel indices, and arrays read by it, against SciPy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator

from tenter.metrics import indices
from tenter.metrics.indices import IndexField, index_field, linear, nearest
from tenter.metrics.regions import Grid
from tenter.spatial.transform import Transform

FIXED = Grid(
    np.array([[-0.8, 0, 0, 8], [0, 1.1, 0, -9], [0, 0, 2.5, -17], [0, 0, 0, 1.0]]), (9, 8, 7)
)
MOVING = np.array([[0, 1.2, 0, -9], [1.0, 0, 0, -10], [0, 0, -2.0, 14], [0, 0, 0, 1]])


def bent() -> Transform:
    field = torch.randn(1, 3, 5, 5, 5, generator=torch.Generator().manual_seed(2))
    alignment = np.eye(4)
    alignment[:3, 3] = [0.5, -2, 1]
    return Transform(
        alignment, field, np.array([[2.0, 0, 0, 0], [0, 2, 0, -8], [0, 0, 4, -16], [0, 0, 0, 1]])
    )


def shift(*voxels: float) -> IndexField:
    return np.broadcast_to(np.array(voxels, np.float32).reshape(3, 1, 1, 1), (3, 6, 5, 4)).copy()


def test_the_field_leads_from_each_fixed_index_to_the_moving_voxel() -> None:
    field = index_field(bent(), FIXED, MOVING)
    index = np.argwhere(np.ones(FIXED.shape)).astype(float)
    world = index @ FIXED.affine[:3, :3].T + FIXED.affine[:3, 3]
    expected = (bent().map_points(world) - MOVING[:3, 3]) @ np.linalg.inv(MOVING[:3, :3]).T - index
    np.testing.assert_allclose(field.reshape(3, -1).T, expected, atol=2e-6)


def test_slabs_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = index_field(bent(), FIXED, MOVING)
    monkeypatch.setattr(indices, "SLAB_VOXELS", 1)
    np.testing.assert_allclose(index_field(bent(), FIXED, MOVING), whole, atol=1e-6)


def test_on_one_grid_no_map_is_no_displacement() -> None:
    still = bent().without_field()
    still.alignment[:3, 3] = 0
    assert np.abs(index_field(still, FIXED, FIXED.affine)).max() == 0


def test_slabs_share_planes_and_cover_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indices, "SLAB_VOXELS", 20)
    assert list(indices.slabs((7, 5, 2), overlap=2)) == [(0, 4), (2, 6), (4, 7)]


def test_the_nearest_voxel_is_read_and_nothing_beyond_the_outermost_centres() -> None:
    image = np.arange(120).reshape(6, 5, 4)
    found = nearest(image, shift(0.4, -0.6, 1.0))
    assert found[2, 2, 1] == image[2, 1, 2]
    assert (found[5] == 0).all()  # 5.4 lies beyond the last centre, 5
    assert (found[:, 0] == 0).all()
    assert (found[:, :, 3] == 0).all()


def test_linear_reading_draws_the_edge_out() -> None:
    image = np.random.default_rng(1).normal(size=(6, 5, 4))
    field = (np.random.default_rng(2).normal(size=(3, 6, 5, 4)) * 2).astype(np.float32)
    places = np.indices((6, 5, 4)) + field.astype(float)
    inside = np.clip(places.reshape(3, -1).T, 0, np.array([5, 4, 3]))
    axes = tuple(np.arange(n, dtype=float) for n in image.shape)
    expected = RegularGridInterpolator(axes, image)(inside)
    np.testing.assert_allclose(linear(image, field).ravel(), expected, atol=1e-12)
