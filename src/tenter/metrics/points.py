"""Errors of mapped points in mm, and their root mean square over a case."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tenter.shapes import PointsMm


def point_errors_mm(mapped: PointsMm, target: PointsMm) -> Float[np.ndarray, "n"]:
    """Euclidean distance from each mapped fixed point to its moving counterpart.

    Args:
        mapped: fixed points mapped into the moving image's space, RAS mm, `n 3`.
        target: the moving points, RAS mm, in the same order.

    Returns:
        mm, one per point.
    """
    errors: Float[np.ndarray, "n"] = np.linalg.norm(mapped - target, axis=1)
    return errors


def root_mean_square(errors: Sequence[float | None]) -> float | None:
    """Root mean square of a case's errors; None if there are none or one could not be measured.

    Args:
        errors: mm; None for a landmark that vanished, which makes the whole case worst.
    """
    if not errors or any(error is None for error in errors):
        return None
    return float(np.sqrt(np.mean(np.square(np.array(errors, dtype=np.float64)))))
