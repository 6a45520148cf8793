"""Volume change of maps whose determinant is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from tenter.spatial import grids, jacobian


def linear(matrix: np.ndarray[tuple[int, ...], np.dtype[np.float64]], *shape: int) -> torch.Tensor:
    rows = torch.from_numpy(matrix - np.eye(len(shape)))
    return grids.mapped(torch.cat([rows, torch.ones(len(shape), 1)], dim=1)[None], shape)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_any_affine_map(dimensions: int) -> None:
    matrix = np.random.default_rng(0).normal(size=(dimensions, dimensions))
    determinant = jacobian.determinant(linear(matrix, *[4] * dimensions))
    expected = torch.full_like(determinant, float(np.linalg.det(matrix)))
    torch.testing.assert_close(determinant, expected, rtol=0, atol=1e-10)


def test_unit_does_not_matter() -> None:
    spacing = (0.8, 1.1, 2.5)
    voxels = torch.rand(
        1, 3, 6, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    mm = voxels * torch.tensor(spacing).reshape(1, 3, 1, 1, 1)
    torch.testing.assert_close(jacobian.determinant(mm, spacing), jacobian.determinant(voxels))


def moved_voxel(by: float) -> torch.Tensor:
    """A field that moves one voxel along the first axis."""
    field = torch.zeros(1, 3, 5, 5, 5, dtype=torch.float64)
    field[0, 0, 2, 2, 2] = by
    return field


def tetrahedra(field: np.ndarray) -> float:
    """Volume turned inside out of all tetrahedra of all cubes, cut in both ways, for half each."""
    places = field + np.indices(field.shape[1:])
    corners = np.array(list(itertools.product((0, 1), repeat=3)))
    even = [corner for corner in corners if corner.sum() % 2 == 0]
    odd = [corner for corner in corners if corner.sum() % 2 == 1]
    cuts = []
    for central, others in ((even, odd), (odd, even)):
        cuts.append(central)
        # The three corners that share an edge with a corner are of the other kind.
        cuts += [[tip, *(c for c in central if np.abs(c - tip).sum() == 1)] for tip in others]
    negative = 0.0
    for cube in np.ndindex(*(size - 1 for size in field.shape[1:])):
        for cut in cuts:
            ends = np.array([places[(slice(None), *(cube + corner))] for corner in cut])
            rest = np.array(cut)
            sign = np.sign(np.linalg.det(rest[1:] - rest[0]))
            negative += max(-sign * float(np.linalg.det(ends[1:] - ends[0])) / 6, 0)
    return negative / 2


def test_identity_turns_nothing_inside_out() -> None:
    field = torch.zeros(1, 3, 5, 6, 4)
    assert jacobian.non_diffeomorphic_map(field).shape == (1, 3, 4, 2)
    assert jacobian.non_diffeomorphic_map(field).abs().max() == 0
    assert jacobian.non_diffeomorphic_volume(field).item() == 0
    assert jacobian.non_diffeomorphic_voxels(field).item() == 0


def test_mirror_turns_every_voxel_inside_out() -> None:
    field = linear(np.diag([-1.0, 1, 1]), 5, 5, 5)
    torch.testing.assert_close(
        jacobian.non_diffeomorphic_map(field), torch.ones(1, 3, 3, 3).double()
    )
    assert jacobian.non_diffeomorphic_volume(field).item() == pytest.approx(1)
    assert jacobian.non_diffeomorphic_voxels(field).item() == 1


def test_voxel_that_passes_its_neighbour_worked_out_by_hand() -> None:
    """By 1.5 voxels: of its ten tetrahedra and of its next one's, four each have volume -1/12."""
    volume = jacobian.non_diffeomorphic_map(moved_voxel(1.5))
    expected = torch.zeros(1, 3, 3, 3, dtype=torch.float64)
    expected[0, 1:, 1, 1] = 1 / 6
    torch.testing.assert_close(volume, expected)
    assert jacobian.non_diffeomorphic_voxels(moved_voxel(1.5)).item() == pytest.approx(2 / 27)


def test_voxel_beyond_its_neighbour_folds_central_tetrahedra_too() -> None:
    """By 3 voxels: right-angled ones of -2 sixths;
    the central ones of the cubes ahead fold as well.
    """
    volume = jacobian.non_diffeomorphic_map(moved_voxel(3.0))
    assert volume[0, 1, 1, 1].item() == pytest.approx((4 * 2 + 1) / 12)
    assert volume[0, 2, 1, 1].item() == pytest.approx(4 * 2 / 12)


def test_flat_tetrahedra_are_counted_but_have_no_volume() -> None:
    field = moved_voxel(1.0)
    assert jacobian.non_diffeomorphic_volume(field).item() == 0
    assert jacobian.non_diffeomorphic_voxels(field).item() == pytest.approx(2 / 27)


def test_volume_is_that_of_the_cubes_tetrahedra() -> None:
    field = torch.zeros(1, 3, 8, 7, 7, dtype=torch.float64)
    inner = torch.randn(3, 4, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    field[0, :, 2:-2, 2:-2, 2:-2] = inner
    ours = jacobian.non_diffeomorphic_map(field).sum().item()
    assert ours > 1
    assert ours == pytest.approx(tetrahedra(field[0].numpy()))


def test_central_differences_miss_what_the_ten_see() -> None:
    """A checkerboard along one axis: its central differences are those of identity."""
    field = torch.zeros(1, 3, 7, 5, 5)
    field[:, 0, ::2] = 1.5
    assert (jacobian.determinant(field) > 0).all()
    assert jacobian.non_diffeomorphic_voxels(field).item() == 1


def test_only_voxels_inside_count() -> None:
    field = moved_voxel(1.5).expand(2, 3, 5, 5, 5)
    inside = torch.zeros(2, 5, 5, 5, dtype=torch.bool)
    inside[0, 2, 2, 2:4] = True
    volume = jacobian.non_diffeomorphic_volume(field, inside)
    assert volume[0].item() == pytest.approx(1 / 12)
    assert jacobian.non_diffeomorphic_voxels(field, inside)[0].item() == 0.5
    assert volume[1].isnan()


def test_slabs_do_not_show() -> None:
    shape = (40, 64, 64)
    assert math.prod(shape) > jacobian.SLAB_VOXELS
    field = torch.randn(1, 3, *shape, generator=torch.Generator().manual_seed(1))
    parts = [jacobian.non_diffeomorphic_map(part) for part in (field[:, :, :22], field[:, :, 20:])]
    assert torch.equal(jacobian.non_diffeomorphic_map(field), torch.cat(parts, dim=1))
