"""The definition of every metric: its name, unit, better direction, and how the report shows it.

This is the only place that describes a metric; its value is computed by the module that
`metrics.strict` finds under its name, or by a challenge's module. Tables, failure rates, corrected
p-values and the report follow from the definition. Nothing here loads NumPy or torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

from tenter.config import MetricDefinition

Better = Literal["higher", "lower", "neither"]
Role = Literal["structure", "landmark", "points", "field"]
Of = Literal["label", "pair", "points", "field"]

STRICT, LEARN2REG, MUREGPRO = "strict", "learn2reg", "muregpro"
LABELS: tuple[Role, ...] = ("structure", "landmark")


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """What the report's main result calls a metric; `{structure}` stands for the structures.

    Attributes:
        card: title of its card; empty for the metric's title.
        subject: subject of the sentence about the change of its median; empty for no sentence.
        short: name in the line about a further model; empty to leave the metric out of it.
        worse_by: name in the sentence about pairs that got worse; empty for metrics that do not
            decide whether a pair got worse.
    """

    card: str = ""
    subject: str = ""
    short: str = ""
    worse_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        name: as in `metrics.tsv`.
        unit: as in `metrics.tsv`; `1` for a number without unit.
        better: the direction that is better.
        of: what one value belongs to: a label, a pair, one of its points, or its field.
        roles: roles for which it is measured.
        family: `strict`, or the challenge whose program defines it.
        surface: whether `evaluation.surface_metrics` switches it off.
        headline: the role for which it is among the report's main results, or None.
        primary: whether it is a primary outcome for that role. The primary outcomes are the family
            of Holm's correction, fixed for every study.
        title: name in prose and on axes.
        decimals: digits after the point when it is printed.
        most: the largest possible value, or None.
        meaning: one sentence.
        naming: what the report's main result calls it.
    """

    name: str
    unit: str
    better: Better
    of: Of = "label"
    roles: tuple[Role, ...] = LABELS
    family: str = STRICT
    surface: bool = False
    headline: Role | None = None
    primary: bool = False
    title: str = ""
    decimals: int = 3
    most: float | None = None
    meaning: str = "Not described here."
    naming: Naming = Naming()

    def is_worse(self, value: float, reference: float) -> bool:
        """Whether a value is worse than a reference; never for a metric without direction."""
        if self.better == "neither":
            return False
        return value < reference if self.better == "higher" else value > reference

    @property
    def symbol(self) -> str:
        """The unit as it is printed; empty for a number without unit."""
        return "" if self.unit == "1" else self.unit

    @property
    def axis(self) -> str:
        """Title with unit, for an axis."""
        return f"{self.title} ({self.symbol})" if self.symbol else self.title


_STRICT = (
    Metric(
        name="dice", unit="1", better="higher", primary=True,
        title="Dice", decimals=2, most=1.0,
        meaning="Overlap of a warped and a fixed label: twice their common volume over the sum of "
        "their volumes; 0 is none, 1 is perfect.",
        headline="structure",
        naming=Naming(
            card="Dice of the {structure}",
            subject="The overlap of the {structure} (Dice; 1 is perfect)",
            short="{structure} Dice",
            worse_by="by the Dice of the {structure}",
        ),
    ),
    Metric(
        name="tre", unit="mm", better="lower", primary=True,
        title="TRE", decimals=1,
        meaning="Target registration error: distance between the centroid of a warped label and "
        "that of the same label in the fixed image.",
        headline="landmark",
        naming=Naming(
            card="Landmark TRE",
            subject="The distance between corresponding landmarks (TRE; 0 is perfect)",
            short="landmark TRE",
        ),
    ),
    Metric(
        name="rms_tre", unit="mm", better="lower", of="pair", roles=("landmark",), primary=True,
        title="RMS TRE of a pair", decimals=1,
        meaning="Root mean square of the TRE over all landmarks of one pair: one number per pair.",
        headline="landmark",
        naming=Naming(
            card="RMS TRE of a pair",
            worse_by="by the RMS TRE of their landmarks",
        ),
    ),
    Metric(
        name="point_tre", unit="mm", better="lower", of="points", roles=("points",), primary=True,
        title="Point TRE", decimals=1,
        meaning="Distance between a fixed point mapped by the transform and its partner in the "
        "moving image; unlike a centroid it cannot vanish.",
        headline="points",
        naming=Naming(
            card="Point TRE",
            subject="The distance between corresponding points (point TRE; 0 is perfect)",
            short="points TRE",
        ),
    ),
    Metric(
        name="hd95", unit="mm", better="lower", roles=("structure",), surface=True,
        title="95\N{NO-BREAK SPACE}% Hausdorff distance", decimals=1,
        meaning="The distance within which 95 % of either surface of a structure lies to the other "
        "surface.",
    ),
    Metric(
        name="surface_distance", unit="mm", better="lower", roles=("structure",), surface=True,
        title="Mean surface distance", decimals=1,
        meaning="Mean distance from each point of either surface of a structure to the other "
        "surface.",
    ),
    Metric(
        name="folding", unit="%", better="lower", of="field", roles=("field",),
        title="Folding", decimals=2,
        meaning="Share of voxels where the map turns space inside out (Jacobian determinant at or "
        "below zero); a physically possible deformation has none.",
    ),
    Metric(
        name="ndv", unit="%", better="lower", of="field", roles=("field",),
        title="Non-diffeomorphic volume", decimals=3,
        meaning="Share of volume that the map turns inside out, measured between neighbouring "
        "voxels: it detects folds that the determinant at voxels misses.",
    ),
    Metric(
        name="sd_log_jacobian", unit="1", better="lower", of="field", roles=("field",),
        title="SD of log Jacobian", decimals=3,
        meaning="Standard deviation of the logarithm of the local change of volume: 0 for a rigid "
        "motion, larger for a rougher deformation.",
    ),
)  # fmt: skip


def _of_challenge(
    name: str, unit: str, better: Better, of: Literal["label", "points", "field"] = "label"
) -> Metric:
    roles: tuple[Role, ...] = LABELS if of == "label" else (of,)
    family, title = name.partition("_")[0], name.replace("_", " ")
    return Metric(
        name=name, unit=unit, better=better, of=of, roles=roles, family=family, title=title
    )


_CHALLENGES = (
    _of_challenge("learn2reg_dice", "1", "higher"),
    _of_challenge("learn2reg_hd95", "voxel", "lower"),
    _of_challenge("learn2reg_tre", "mm", "lower", "points"),
    _of_challenge("learn2reg_sd_log_jacobian", "1", "lower", "field"),
    _of_challenge("learn2reg_foldings", "1", "lower", "field"),
    _of_challenge("muregpro_dice", "1", "higher"),
    _of_challenge("muregpro_tre", "voxel", "lower"),
    _of_challenge("muregpro_hd95", "voxel", "lower"),
    _of_challenge("muregpro_unregistered_tre", "voxel", "lower"),
    _of_challenge("muregpro_unregistered_hd95", "voxel", "lower"),
)

METRICS = (*_STRICT, *_CHALLENGES)
"""Every metric, in the order of display."""

FAMILIES = tuple(dict.fromkeys(metric.family for metric in METRICS))
"""The families: the strict one, and those of challenges, whose metrics are `<family>_<metric>`."""

HEADLINE = tuple((metric.headline, metric.name) for metric in METRICS if metric.headline)
"""Role and metric of the main results, by which a registration is judged."""

PRIMARY = tuple(
    (metric.headline, metric.name) for metric in METRICS if metric.headline and metric.primary
)
"""Role and metric of each primary outcome, fixed for every study."""

_BY_NAME = {metric.name: metric for metric in METRICS}
_CUSTOM: ContextVar[tuple[Metric, ...]] = ContextVar("custom metrics", default=())


@contextmanager
def including(metrics: Iterable[MetricDefinition]) -> Iterator[None]:
    """Within this context the functions here know custom metrics, too, as strict ones.

    They are exploratory: none is a main result or a primary outcome.

    Args:
        metrics: what the configuration says of them.
    """
    token = _CUSTOM.set(tuple(_of_configuration(metric) for metric in metrics))
    try:
        yield
    finally:
        _CUSTOM.reset(token)


def _of_configuration(metric: MetricDefinition) -> Metric:
    return Metric(
        name=metric.name,
        unit=metric.unit,
        better=metric.better,
        of=metric.of,
        title=metric.title,
        decimals=metric.decimals,
        meaning=metric.meaning,
    )


def custom() -> tuple[Metric, ...]:
    """The metrics of the study's own code, in the order of the configuration."""
    return _CUSTOM.get()


def _known() -> dict[str, Metric]:
    return {metric.name: metric for metric in custom()} | _BY_NAME


def definition(name: str, unit: str = "") -> Metric:
    """The definition of a metric; an unknown one is strict, without a better direction.

    Args:
        name: as in `metrics.tsv`.
        unit: as in `metrics.tsv`, used if the metric is unknown.
    """
    known = _known().get(name)
    return known or Metric(name=name, unit=unit, better="neither", title=name.replace("_", " "))


def of_family(family: str) -> tuple[Metric, ...]:
    """The metrics of a family, in the order of display."""
    return tuple(metric for metric in METRICS if metric.family == family)


def judging(role: str) -> str:
    """The metric by which a label of a role is judged; empty for other roles."""
    return next((name for of, name in HEADLINE if of == role and _BY_NAME[name].of == "label"), "")


def order(name: str) -> tuple[int, str]:
    """Sort key: known metrics first, in the order of their definitions, custom ones last."""
    names = [*_BY_NAME, *(metric.name for metric in custom())]
    return (names.index(name) if name in names else len(names), name)
