"""Title, unit, meaning and better direction of each metric, for the report."""

from __future__ import annotations

from dataclasses import dataclass

from tenter.metrics.definitions import Better, Metric, strict_metric


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric as the report presents it.

    Attributes:
        metric: name in `metrics.tsv`.
        title: name in prose and on axes.
        unit: `mm`, `%`, or empty for a number without unit.
        better: the direction that is better.
        decimals: digits after the point when it is printed.
        meaning: one sentence.
    """

    metric: str
    title: str
    unit: str
    better: Better
    decimals: int
    meaning: str

    @property
    def axis(self) -> str:
        """Title with unit, for an axis."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


@dataclass(frozen=True, slots=True)
class _Text:
    """The report's text for a metric."""

    metric: str
    title: str
    decimals: int
    meaning: str

    def of(self, metric: Metric) -> Definition:
        """The definition, with the metric's unit and better direction."""
        unit = "" if metric.unit == "1" else metric.unit
        return Definition(metric.name, self.title, unit, metric.better, self.decimals, self.meaning)


_TEXTS = (
    _Text(
        "dice", "Dice", 2,
        "Overlap of a warped and a fixed label: twice their common volume over the sum of their "
        "volumes; 0 is none, 1 is perfect.",
    ),
    _Text(
        "tre", "TRE", 1,
        "Target registration error: distance between the centroid of a warped label and that of "
        "the same label in the fixed image.",
    ),
    _Text(
        "rms_tre", "RMS TRE of a pair", 1,
        "Root mean square of the TRE over all landmarks of one pair: one number per pair.",
    ),
    _Text(
        "point_tre", "Point TRE", 1,
        "Distance between a fixed point mapped by the transform and its partner in the moving "
        "image; unlike a centroid it cannot vanish.",
    ),
    _Text(
        "hd95", "95\N{NO-BREAK SPACE}% Hausdorff distance", 1,
        "The distance within which 95 % of either surface of a structure lies to the other "
        "surface.",
    ),
    _Text(
        "surface_distance", "Mean surface distance", 1,
        "Mean distance from each point of either surface of a structure to the other surface.",
    ),
    _Text(
        "folding", "Folding", 2,
        "Share of voxels where the map turns space inside out (Jacobian determinant at or below "
        "zero); a physically possible deformation has none.",
    ),
    _Text(
        "ndv", "Non-diffeomorphic volume", 3,
        "Share of volume that the map turns inside out, measured between neighbouring voxels: it "
        "detects folds that the determinant at voxels misses.",
    ),
    _Text(
        "sd_log_jacobian", "SD of log Jacobian", 3,
        "Standard deviation of the logarithm of the local change of volume: 0 for a rigid motion, "
        "larger for a rougher deformation.",
    ),
)  # fmt: skip

DEFINITIONS = {text.metric: text.of(strict_metric(text.metric)) for text in _TEXTS}
"""Known metrics in the order in which they are shown."""


def definition(metric: str, unit: str = "") -> Definition:
    """The definition of a metric; an unknown metric is shown under its own name.

    Args:
        metric: name in `metrics.tsv`.
        unit: unit in `metrics.tsv`, used if the metric is unknown.
    """
    unit = "" if unit == "1" else unit
    fallback = Definition(
        metric, metric.replace("_", " "), unit, "neither", 3, "Not described here."
    )
    return DEFINITIONS.get(metric, fallback)


def order(metric: str) -> tuple[int, str]:
    """Sort key: known metrics first, in the order of their definitions."""
    known = list(DEFINITIONS)
    return (known.index(metric) if metric in known else len(known), metric)
