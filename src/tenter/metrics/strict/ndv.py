"""Non-diffeomorphic volume of a map."""

from __future__ import annotations

from tenter.metrics.survey import Survey


def measure(field: Survey) -> float:
    """Volume that the map turns inside out, in % of the inner voxels' volume."""
    return field.ndv_percent
