"""Dice's coefficient of a label."""

from __future__ import annotations

from tenter.metrics.measurands import WarpedLabel
from tenter.metrics.overlap import dice


def measure(label: WarpedLabel) -> float:
    """From 0 (no overlap, or vanished) to 1."""
    return dice(label.warped, label.fixed)
