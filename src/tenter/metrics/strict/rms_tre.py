"""Root mean square error of a pair over its landmarks."""

from __future__ import annotations

from tenter.metrics.measurands import MeasuredLabels
from tenter.metrics.points import root_mean_square


def measure(labels: MeasuredLabels) -> float | None:
    """Root mean square of the labels' TRE, mm; None if one of them vanished."""
    return root_mean_square([values["tre"] for values in labels.values])
