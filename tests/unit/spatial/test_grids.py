"""Coordinates of voxels."""

from __future__ import annotations

import pytest
import torch

from tenter.spatial import grids

CPU = torch.device("cpu")


def test_each_component_counts_along_its_own_axis() -> None:
    grid = grids.identity((2, 3, 4), dtype=torch.float32, device=CPU)
    assert grid.shape == (1, 3, 2, 3, 4)
    assert grid[0, :, 1, 2, 3].tolist() == [1, 2, 3]


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 5), (1, 4, 2)])
def test_mapped_equals_the_matrix_product(shape: tuple[int, ...]) -> None:
    matrix = torch.randn(
        2, 3, len(shape) + 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    grid = grids.identity(shape, dtype=torch.float64, device=CPU)[0].flatten(1)
    expected = matrix[..., :-1] @ grid + matrix[..., -1:]
    torch.testing.assert_close(grids.mapped(matrix, shape), expected.reshape(2, 3, *shape))
