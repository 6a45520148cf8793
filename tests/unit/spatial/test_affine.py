"""Affine maps of the grid's cube."""

from __future__ import annotations

import numpy as np
import torch

from tenter.spatial import affine


def test_corners_that_stay_give_identity() -> None:
    assert torch.equal(affine.corner_affine(torch.zeros(1, 4, 3)), torch.eye(4)[None])


def test_uniform_moves_have_the_statistics_of_label_reg() -> None:
    moves = torch.rand(20_000, 4, 3, generator=torch.Generator().manual_seed(0)) * 0.1
    matrices = affine.corner_affine(moves)
    diagonal = matrices[:, :3, :3].diagonal(dim1=1, dim2=2)
    assert abs(float(diagonal.mean()) - 0.95) < 1e-3
    assert abs(float(matrices[:, 0, 1].std()) - 0.0204) < 1e-3
    assert abs(float(matrices[:, :3, 3].std()) - 0.029) < 2e-3


def test_square_works_too() -> None:
    moves = torch.tensor([[[0.1, 0.2], [0.0, 0.0], [0.0, 0.0]]])
    moved = affine.corner_affine(moves)[0] @ torch.tensor([-1.0, -1, 1])
    torch.testing.assert_close(moved, torch.tensor([-0.9, -0.8, 1]))


def test_scaling_keeps_the_centre_and_moves_the_outermost_voxel() -> None:
    matrix = torch.diag(torch.tensor([0.9, 1.0, 1.0, 1.0]))[None]
    field = affine.displacement(matrix, (11, 5, 5))
    assert abs(float(field[0, 0, 5, 2, 2])) < 1e-6
    torch.testing.assert_close(field[0, :, 10, 0, 0], torch.tensor([-0.5, 0, 0]), atol=1e-6, rtol=0)


def test_shift_is_in_half_widths() -> None:
    matrix = torch.eye(4)[None].clone()
    matrix[0, 1, 3] = 0.5
    field = affine.displacement(matrix, (3, 9, 4))
    torch.testing.assert_close(field[:, 1], torch.full((1, 3, 9, 4), 2.0))
    assert field[:, [0, 2]].abs().max() < 1e-6


def test_displacement_equals_the_map_of_every_voxel() -> None:
    matrix = affine.corner_affine(
        torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    )
    shape = np.array([4, 6, 5])
    field = affine.displacement(matrix, shape.tolist())[1].numpy()
    for voxel in np.ndindex(*shape):
        place = np.array(voxel) / ((shape - 1) / 2) - 1
        mapped = (matrix[1].numpy() @ [*place, 1])[:3]
        expected = (mapped - place) * (shape - 1) / 2
        np.testing.assert_allclose(field[(slice(None), *voxel)], expected, atol=1e-12)


def test_axis_of_one_voxel_stays_finite() -> None:
    matrix = affine.corner_affine(torch.full((1, 4, 3), 0.1))
    assert affine.displacement(matrix, (4, 4, 1)).isfinite().all()
