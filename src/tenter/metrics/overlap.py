"""Overlap of two masks on one grid."""

from __future__ import annotations

import numpy as np

from tenter.shapes import Mask


def dice(first: Mask, second: Mask) -> float:
    """Dice's coefficient 2 |A and B| / (|A| + |B|), without a smoothing term.

    Source: Dice, Ecology 26 (1945) 297-302.

    Args:
        first: mask `x y z`.
        second: mask of the same shape.

    Returns:
        From 0 (no overlap, or one mask empty) to 1; NaN if both masks are empty.
    """
    total = np.count_nonzero(first) + np.count_nonzero(second)
    if total == 0:
        return float("nan")
    return 2 * int(np.count_nonzero(first & second)) / int(total)
