"""Reading along lines: where it may be used, and what it gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tenter.spatial import axes, lines

RANDOM = np.random.default_rng(4)


def test_axes_are_apart_only_where_each_follows_one_other() -> None:
    shape = (64, 64, 32)
    permuted = np.diag([1.5, -2.0, 1.0, 1.0])[[2, 0, 1, 3]]
    turned = permuted.copy()
    turned[0, 0] = 1e-6  # six hundred-thousandths of a voxel at the end of 64
    assert axes.are_apart(permuted, shape)
    assert not axes.are_apart(turned, shape)


def test_a_line_is_read_linearly_and_ends_a_voxel_beyond() -> None:
    read = lines.linear(3, np.array([-1.0, -0.25, 0.5, 2.0, 2.5, 7.0])).numpy() @ [1.0, 2.0, 4.0]
    assert read.tolist() == [0.0, 0.75, 1.5, 4.0, 2.0, 0.0]


def test_axes_come_in_the_grids_order() -> None:
    to_volume = (
        np.eye(4)[[1, 2, 0, 3]] * 1.0
    )  # the grid's second axis runs along the volume's first
    assert [axis for axis, _ in axes.places(to_volume, (4, 5, 6))] == [1, 2, 0]


@pytest.mark.parametrize("counts", [(6, 11, 4), (1, 3 * lines.ROWS, lines.ROWS + 1)])
def test_reading_is_one_product_an_axis(counts: tuple[int, int, int]) -> None:
    volume = torch.from_numpy(RANDOM.normal(size=(2, 3, 8, 9, 7)))
    places = [
        RANDOM.uniform(-1, size, count) for size, count in zip((8, 9, 7), counts, strict=True)
    ]
    weights = [lines.linear(size, along) for size, along in zip((8, 9, 7), places, strict=True)]
    whole = torch.einsum("ax,by,cz,mnxyz->mncab", *weights, volume)
    torch.testing.assert_close(lines.read(volume, weights, [1, 2, 0]), whole)
