"""Whether the numbers of a volume are labels, which must not be mixed, or brightness."""

from __future__ import annotations

import numpy as np

from tenter.data.label_values import MAX_LABELS, ROUNDING

FEW = 32
"""Whole numbers of at most so many different values are labels."""

AGREEMENT = 0.5
"""Share of neighbours with one value from which on whole numbers of more values are labels.

It is above 0.7 in segmentations of organs a few voxels wide, and below 0.1 in images of 8 bits."""


def is_label_map(values: np.ndarray) -> bool:
    """Whether a volume holds labels: whole numbers, few of them, or neighbours that mostly agree.

    Args:
        values: `[c, x, y, z]`, finite.
    """
    if not are_whole(values):
        return False
    count = distinct(values)
    return count <= FEW or (count <= MAX_LABELS and _agreement(values) >= AGREEMENT)


def are_whole(values: np.ndarray) -> bool:
    """Whether all numbers are whole, but for what scaling leaves of them."""
    return values.dtype.kind != "f" or bool((np.abs(values - np.rint(values)) <= ROUNDING).all())


def integers(values: np.ndarray) -> np.ndarray:
    """Whole numbers in an integer type of at most 32 bits: their own, or the smallest that holds them.

    Args:
        values: whole, as `are_whole` says.

    Raises:
        ValueError: they need more than 32 bits.
    """
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 4:
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    low, high = int(np.rint(values.min())), int(np.rint(values.max()))
    dtype = np.result_type(np.min_scalar_type(min(low, 0)), np.min_scalar_type(max(high, 0)))
    if dtype.itemsize > 4 or dtype.kind == "f":
        message = f"whole numbers from {low} to {high} need more than 32 bits"
        raise ValueError(message)
    whole: np.ndarray = np.rint(values).astype(dtype)
    return whole


def distinct(values: np.ndarray) -> int:
    """How many different whole numbers a volume holds."""
    low, high = int(np.rint(values.min())), int(np.rint(values.max()))
    if high - low > 2**20:
        return len(np.unique(np.rint(values)))
    seen = np.zeros(high - low + 1, dtype=np.bool_)
    for channel in values:
        seen[np.rint(channel).astype(np.int64) - low] = True
    return int(np.count_nonzero(seen))


def _agreement(values: np.ndarray) -> float:
    """Share of neighbouring voxels, not both of them 0, that hold one value."""
    pairs = same = 0
    for axis in (1, 2, 3):
        size = values.shape[axis]
        one, other = values.take(range(size - 1), axis), values.take(range(1, size), axis)
        counted = (one != 0) | (other != 0)
        pairs += int(np.count_nonzero(counted))
        same += int(np.count_nonzero((one == other) & counted))
    return same / max(pairs, 1)
