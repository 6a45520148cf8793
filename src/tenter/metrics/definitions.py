"""The strict metrics: unit, better direction, and the primary outcomes of a study.

Only this module defines which direction is better. Titles and explanations are in
`reporting.definitions`, because rewording them must not make measurements stale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One strict metric.

    Attributes:
        name: as in `metrics.tsv`.
        unit: as in `metrics.tsv`; `1` for a number without unit.
        better: the direction that is better.
        primary: the role for which the metric is a primary outcome, or None. The primary
            outcomes are the headline of the report and the family of Holm's correction.
    """

    name: str
    unit: str
    better: Better
    primary: str | None = None

    def is_worse(self, value: float, reference: float) -> bool:
        """Whether a value is worse than a reference; never for a metric without direction."""
        if self.better == "neither":
            return False
        return value < reference if self.better == "higher" else value > reference


STRICT = (
    Metric("dice", "1", "higher", primary="structure"),
    Metric("tre", "mm", "lower", primary="landmark"),
    Metric("rms_tre", "mm", "lower", primary="landmark"),
    Metric("point_tre", "mm", "lower", primary="points"),
    Metric("hd95", "mm", "lower"),
    Metric("surface_distance", "mm", "lower"),
    Metric("folding", "%", "lower"),
    Metric("ndv", "%", "lower"),
    Metric("sd_log_jacobian", "1", "lower"),
)
"""Every strict metric, in the order of display."""

PRIMARY = tuple((metric.primary, metric.name) for metric in STRICT if metric.primary)
"""Role and metric of each primary outcome, fixed for every study."""

_BY_NAME = {metric.name: metric for metric in STRICT}


def strict_metric(name: str) -> Metric:
    """The definition of a strict metric; an unknown one has no better direction."""
    return _BY_NAME.get(name, Metric(name, "", "neither"))
