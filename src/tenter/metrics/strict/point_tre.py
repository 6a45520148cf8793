"""Target registration error of points."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tenter.metrics.measurands import MappedPoints
from tenter.metrics.points import point_errors_mm


def measure(points: MappedPoints) -> Float[np.ndarray, "n"]:
    """Distance of each mapped point to its partner, mm."""
    return point_errors_mm(points.mapped, points.moving)
