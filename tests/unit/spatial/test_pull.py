"""Whole grids, slab by slab."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from builders.stored_pairs import FIXED_SHAPE, Pair, gentle_transform, pair
from tenter.spatial import geometry, pull, smooth, warp
from tenter.spatial.warp import Mode


@pytest.fixture(params=[2**19, 150], ids=["one slab", "slabs of one layer"], autouse=True)
def _slabs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "SLAB_VOXELS", request.param)


@pytest.fixture
def case() -> Pair:
    return pair("oblique", "LAS")


def test_displacement_is_the_transforms_own(case: Pair) -> None:
    moves = pull.displacement(case.transform, case.fixed, FIXED_SHAPE)
    expected = case.transform.displacement_mm(case.fixed, FIXED_SHAPE)
    torch.testing.assert_close(moves, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_image_is_read_where_each_voxel_lands(case: Pair, mode: Mode) -> None:
    image = case.image.expand(1, 2, *case.image.shape[2:]).double()
    places = case.transform.coordinates(case.fixed, FIXED_SHAPE, case.moving).double()
    pulled = pull.pull(image, case.transform, (case.fixed, FIXED_SHAPE), case.moving, mode=mode)
    expected = warp.sample(image, places, mode=mode)[0]
    assert pulled.shape == (2, *FIXED_SHAPE)
    assert (torch.isclose(pulled.double(), expected, rtol=0, atol=1e-4)).double().mean() > 0.999


def test_labels_end_with_their_image(case: Pair) -> None:
    ones = torch.ones_like(case.image)
    far = geometry.translation((12.0, 0.0, 0.0)) @ case.fixed
    pulled = pull.pull(
        ones, case.transform, (far, FIXED_SHAPE), case.moving, mode="nearest", padding="zeros"
    )
    assert set(pulled.flatten().tolist()) == {0.0, 1.0}
    assert pull.pull(ones, case.transform, (far, FIXED_SHAPE), case.moving).min() > 0.9999


@pytest.mark.parametrize("padding", ["border", "zeros"])
def test_known_displacement_pulls_alike(case: Pair, padding: warp.Padding) -> None:
    moves = pull.displacement(case.transform, case.fixed, FIXED_SHAPE)
    known = pull.pull_by(case.image, moves, case.fixed, case.moving, padding=padding)
    pulled = pull.pull(
        case.image, case.transform, (case.fixed, FIXED_SHAPE), case.moving, padding=padding
    )
    torch.testing.assert_close(known, pulled, rtol=0, atol=1e-6)


def test_inverse_displacement_leads_each_voxel_home(case: Pair) -> None:
    shape = tuple(case.image.shape[2:])
    moves = pull.displacement(case.transform, case.moving, shape, inverse=True)
    assert moves.dtype == torch.float32
    points = geometry.apply(case.moving, np.indices(shape).reshape(3, -1).T.astype(np.float64))
    expected, _ = case.transform.inverse_points(points)
    np.testing.assert_allclose(points + moves.flatten(1).T.numpy(), expected, rtol=0, atol=1e-4)


def test_image_there_and_back_is_the_image_but_for_blur() -> None:
    transform = gentle_transform(1, "oblique", sheared=True, largest_mm=4)
    shape = (20, 18, 19)
    grid = transform.affine @ geometry.translation((1.0, 1.0, 1.0)) @ np.diag([0.4, 0.4, 0.4, 1])
    noise = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(0))
    image = smooth.smooth(noise, (3.0, 3.0, 3.0))
    there_grid = transform.alignment @ grid
    there = pull.pull(image, transform, (there_grid, shape), grid, inverse=True)
    back = pull.pull(there[None], transform, (grid, shape), there_grid)
    inner = (slice(None), *[slice(6, -6)] * 3)
    assert (there - image[0])[inner].abs().max() > 0.01
    torch.testing.assert_close(back[inner], image[0][inner], rtol=0, atol=5e-3)
