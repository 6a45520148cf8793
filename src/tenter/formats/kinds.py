"""The kind of a volume's file, where it is certain: an image, a label map or a stack of labels.

A file is recognised as an image or as labels by its metadata, or by values that the other kind
cannot have. Values alone never show that a file holds labels: photon counts, 8-bit ultrasound and
binary images look the same.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tenter.formats import known_formats
from tenter.formats.image_format import Finding, Kind
from tenter.formats.label_values import MAX_LABELS, ROUNDING

__all__ = ["Finding", "Kind", "are_whole", "distinct", "integers", "marked", "numbered"]

AGREEMENT = 0.5
"""Share of equal neighbours below which more than `MAX_LABELS` values are not regions."""


def marked(path: Path) -> Finding | None:
    """The kind that the metadata of a file state; None if they state none.

    Args:
        path: file or folder of a volume.

    Raises:
        DataError: the suffix is unknown.
        InputError: the metadata state a kind that is neither an image nor supported labels.
    """
    return known_formats.of(path).marked(path)


def numbered(values: np.ndarray) -> Finding | None:
    """The kind that the values of a volume imply; None if they allow both an image and labels.

    Args:
        values: `[c, x, y, z]`, finite.
    """
    low = float(values.min())
    if low < -ROUNDING:
        return Finding("image", f"it holds negative numbers, from {low:g}")
    if not are_whole(values):
        return Finding("image", "it holds fractions")
    count = distinct(values)
    if count > MAX_LABELS and _agreement(values) < AGREEMENT:
        return Finding("image", f"it holds {count} different numbers, most unlike their neighbours")
    return None


def are_whole(values: np.ndarray) -> bool:
    """Whether all values are integers, within the rounding error of scaling."""
    return values.dtype.kind != "f" or bool((np.abs(values - np.rint(values)) <= ROUNDING).all())


def integers(values: np.ndarray) -> np.ndarray:
    """Integers in a type of at most 32 bits: that of the values, or the smallest that holds them.

    Args:
        values: whole numbers, as tested by `are_whole`.

    Raises:
        ValueError: the values need more than 32 bits.
    """
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 4:
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    low, high = int(np.rint(values.min())), int(np.rint(values.max()))
    dtype = np.result_type(np.min_scalar_type(min(low, 0)), np.min_scalar_type(max(high, 0)))
    if dtype.itemsize > 4 or dtype.kind == "f":
        message = f"whole numbers from {low} to {high} need more than 32 bits"
        raise ValueError(message)
    rounded: np.ndarray = np.rint(values).astype(dtype)
    return rounded


def distinct(values: np.ndarray) -> int:
    """Number of distinct integers in a volume."""
    low, high = int(np.rint(values.min())), int(np.rint(values.max()))
    if high - low > 2**20:
        return len(np.unique(np.rint(values)))
    seen = np.zeros(high - low + 1, dtype=np.bool_)
    for channel in values:
        seen[np.rint(channel).astype(np.int64) - low] = True
    return int(np.count_nonzero(seen))


def _agreement(values: np.ndarray) -> float:
    """Share of pairs of neighbouring voxels, not both 0, that are equal."""
    pairs = same = 0
    for axis in (1, 2, 3):
        size = values.shape[axis]
        first, second = values.take(range(size - 1), axis), values.take(range(1, size), axis)
        counted = (first != 0) | (second != 0)
        pairs += int(np.count_nonzero(counted))
        same += int(np.count_nonzero((first == second) & counted))
    return same / max(pairs, 1)
