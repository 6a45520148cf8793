"""Mean surface distance of a label."""

from __future__ import annotations

from tenter.metrics.measurands import WarpedLabel


def measure(label: WarpedLabel) -> float | None:
    """Mean over the surface distances of both directions, mm; None if the label vanished."""
    return label.surfaces.mean() if label.surfaces else None
