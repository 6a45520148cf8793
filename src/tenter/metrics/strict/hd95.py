"""Robust Hausdorff distance of a label."""

from __future__ import annotations

from tenter.metrics.measurands import WarpedLabel


def measure(label: WarpedLabel) -> float | None:
    """The larger directed 95th percentile of surface distance, mm; None if the label vanished."""
    return label.surfaces.hausdorff() if label.surfaces else None
