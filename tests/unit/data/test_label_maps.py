from __future__ import annotations

import numpy as np
import pytest

from tenter.data.label_maps import are_whole, distinct, integers, is_label_map

RANDOM = np.random.default_rng(3)


def parcels(count: int) -> np.ndarray:
    """Blocks of 3 x 3 x 3 voxels, each with a value of its own."""
    side = round(count ** (1 / 3)) + 1
    blocks = np.arange(side**3).reshape(1, side, side, side) % count
    return blocks.repeat(3, 1).repeat(3, 2).repeat(3, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_few_whole_numbers_are_labels_in_any_type(dtype: type) -> None:
    assert is_label_map(RANDOM.integers(0, 6, (1, 8, 8, 8)).astype(dtype))


def test_single_voxels_of_landmarks_are_labels() -> None:
    values = np.zeros((1, 9, 9, 9), dtype=np.uint8)
    values[0, ::4, ::4, 0] = np.arange(1, 10).reshape(3, 3)
    assert is_label_map(values)


def test_many_parcels_are_labels_and_as_many_grey_levels_are_none() -> None:
    values = parcels(200)
    assert distinct(values) == 200
    assert is_label_map(values)
    assert not is_label_map(RANDOM.permutation(values.ravel()).reshape(values.shape))


def test_an_image_of_8_bits_before_a_black_ground_is_no_label_map() -> None:
    values = np.zeros((1, 16, 16, 16), dtype=np.uint8)
    values[:, 4:12, 4:12, 4:12] = RANDOM.integers(1, 256, (1, 8, 8, 8))
    assert not is_label_map(values)


def test_soft_labels_are_no_label_map() -> None:
    assert not is_label_map(np.array([0.0, 0.5, 1.0, 1.0]).reshape(1, 1, 2, 2))


def test_what_scaling_leaves_of_whole_numbers_is_whole() -> None:
    values = np.array([0.0, 1.0000153, 1.99999, 3.0]).reshape(1, 1, 2, 2)
    assert are_whole(values)
    assert integers(values).ravel().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.array([0.0, 255.0]), np.uint8),
        (np.array([0.0, 256.0]), np.uint16),
        (np.array([-1.0, 200.0]), np.int16),
        (np.array([0, 7], dtype=np.int64), np.uint8),
        (np.array([0, 7], dtype=np.int16), np.int16),
        (np.array([0, 7], dtype=">i4"), np.int32),
    ],
)
def test_integers_keep_their_type_or_get_the_smallest(values: np.ndarray, dtype: type) -> None:
    found = integers(values)
    assert found.dtype == np.dtype(dtype)
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, values)


def test_numbers_beyond_32_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 32 bits"):
        integers(np.array([-1, 2**40]))


def test_values_far_apart_are_counted_too() -> None:
    assert distinct(np.array([0, 614454277, 5, 5], dtype=np.int64).reshape(1, 1, 2, 2)) == 3
