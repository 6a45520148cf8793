"""Warping at and beyond the edge, and against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from tenter.spatial import grids, warp


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize(
    ("padding", "expected"),
    [("border", [10.0, 10, 15, 35, 40, 40]), ("zeros", [8.0, 10, 15, 35, 40, 32])],
)
def test_beyond_the_edge(padding: warp.Padding, expected: list[float]) -> None:
    line = torch.tensor([10.0, 20, 30, 40]).reshape(1, 1, 4, 1, 1)
    coordinates = torch.zeros(1, 3, 6, 1, 1)
    coordinates[0, 0, :, 0, 0] = torch.tensor([-0.2, 0, 0.5, 2.5, 3, 3.2])
    values = warp.sample(line, coordinates, padding=padding)
    torch.testing.assert_close(values.flatten(), torch.tensor(expected))


def test_zeros_lie_beyond_an_axis_of_one_voxel() -> None:
    coordinates = torch.tensor([0.0, 0, 2]).reshape(1, 3, 1, 1, 1)
    assert warp.sample(torch.ones(1, 1, 3, 3, 1), coordinates, padding="zeros").item() == 0


def test_any_field_agrees_with_scipy() -> None:
    image, field = (
        noise(1, 2, 8, 7, 6, dtype=torch.float64),
        3 * noise(1, 3, 8, 7, 6, dtype=torch.float64),
    )
    places = grids.identity((8, 7, 6), dtype=torch.float64, device=torch.device("cpu")) + field
    warped = warp.warp(image, field)
    for channel in range(2):
        expected = ndimage.map_coordinates(
            image[0, channel].numpy(), places[0].numpy(), order=1, mode="nearest"
        )
        np.testing.assert_allclose(warped[0, channel], expected, rtol=0, atol=1e-12)


def test_places_within_half_a_voxel_of_the_grid_are_inside() -> None:
    field = torch.zeros(1, 2, 3, 4)
    field[0, 0, 0, 0], field[0, 0, 0, 1] = -0.5, -0.51
    field[0, 1, 2, 3], field[0, 1, 2, 2] = 0.5, 1.51
    expected = torch.ones(1, 1, 3, 4, dtype=torch.bool)
    expected[0, 0, 0, 1] = expected[0, 0, 2, 2] = False
    assert torch.equal(warp.inside(field), expected)
