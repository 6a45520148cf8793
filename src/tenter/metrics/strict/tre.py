"""Target registration error of a label."""

from __future__ import annotations

from tenter.metrics.centroids import centroid_distance_mm
from tenter.metrics.measurands import WarpedLabel


def measure(label: WarpedLabel) -> float | None:
    """Distance between the centroids, mm; None if the label vanished."""
    return centroid_distance_mm(label.warped, label.fixed, label.affine)
