"""Spread of a map's local change of volume."""

from __future__ import annotations

from tenter.metrics.deformation import sd_log_jacobian
from tenter.metrics.survey import Survey


def measure(field: Survey) -> float | None:
    """Standard deviation of log J over the inner voxels where J > 0; None if there are none."""
    return sd_log_jacobian(field.determinants)
