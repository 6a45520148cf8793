"""Share of folded voxels of a map."""

from __future__ import annotations

from tenter.metrics.deformation import folding_percent
from tenter.metrics.survey import Survey


def measure(field: Survey) -> float:
    """Share of inner voxels whose Jacobian determinant is not positive, %."""
    return folding_percent(field.determinants)
