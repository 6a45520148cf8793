"""Slices through a registered pair."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tenter.formats.volumes import Volume
from tenter.registration import picture
from tenter.reporting import overview
from tenter.spatial.transform import Transform

SHAPE = (6, 8, 10)


def ramp(axis: int, spacing: float = 1.0) -> Volume:
    """An image whose value is the place along an axis, in mm."""
    size = int(40 / spacing)
    places = np.indices((size, size, size))[axis] * spacing - 10
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = -10
    return Volume(places[None].astype(np.float32), affine)


def shifted(*voxels: float) -> Transform:
    """A whole grid of 2 mm moved by voxels, after an alignment that moves 3 mm along x."""
    alignment = np.eye(4)
    alignment[0, 3] = 3.0
    field = (
        torch.tensor(voxels, dtype=torch.float32)
        .reshape(1, 3, 1, 1, 1)
        .expand(1, 3, *SHAPE)
        .clone()
    )
    return Transform(alignment, field, np.diag([2.0, 2.0, 2.0, 1.0]))


def test_slices_lie_across_the_middle_of_the_grid_one_voxel_thick() -> None:
    axial, coronal, sagittal = picture.cuts(shifted(0, 0, 0), ramp(2, 2.0), ramp(2, 2.0))
    assert axial.fixed.shape == (6, 8, 1)
    assert coronal.fixed.shape == (6, 1, 10)
    assert sagittal.fixed.shape == (1, 8, 10)
    assert np.allclose(axial.fixed, 2.0 * 5)


def test_slices_are_as_fine_as_the_fixed_image() -> None:
    axial = picture.cuts(shifted(0, 0, 0), ramp(0), ramp(0))[0]
    assert axial.fixed.shape == (12, 16, 1)
    assert axial.spacing_mm == (1.0, 1.0, 2.0)
    # The grid's first voxel of 2 mm lies around 0 mm: its halves around -0.5 and 0.5 mm.
    assert np.allclose(axial.fixed[:, 0, 0], np.arange(12) - 0.5, atol=1e-4)


def test_what_is_aligned_only_has_no_field_and_what_is_registered_has_both() -> None:
    axial = picture.cuts(shifted(0.5, 0, 0), ramp(0), ramp(0))[0]
    assert np.allclose(axial.moving - axial.fixed, 3.0, atol=1e-4)
    assert np.allclose(axial.warped - axial.fixed, 4.0, atol=1e-4)


def test_the_field_is_the_networks_alone() -> None:
    for scene in picture.cuts(shifted(0.5, -1.0, 0.0), ramp(0), ramp(0)):
        assert scene.magnitude_mm().max() == pytest.approx(5**0.5, abs=1e-4)


@pytest.mark.parametrize(("axis", "shape"), [(0, (1, 8, 10)), (1, (6, 1, 10)), (2, (6, 8, 1))])
def test_a_grid_of_one_slice_is_cut_once(axis: int, shape: tuple[int, int, int]) -> None:
    grid = Transform(np.eye(4), torch.zeros(1, 3, *shape), np.diag([2.0, 2.0, 2.0, 1.0]))
    (scene,) = picture.cuts(grid, ramp(axis, 2.0), ramp(axis, 2.0))
    assert scene.fixed.shape == shape
    assert overview.png([scene], 40).startswith(b"\x89PNG")
