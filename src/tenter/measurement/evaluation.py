"""The metric rows of a registered pair: every family that the settings name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tenter.config import EvaluateSettings
from tenter.measurement import challenges, strict
from tenter.measurement.registered_pair import Measurement, RegisteredPair
from tenter.measurement.truth import Truth
from tenter.metrics import custom as custom_code
from tenter.metrics.custom import CustomMetric
from tenter.metrics.definitions import definition
from tenter.records import MetricRow, Pair, Set
from tenter.spatial.transform import Transform


@dataclass(frozen=True, slots=True)
class Origin:
    """What registered a pair: its name, the fold, and the set that the pair counts in."""

    model: str
    fold: str
    set: Set


def custom_metrics(settings: EvaluateSettings) -> tuple[CustomMetric, ...]:
    """Import the custom metrics that the settings name.

    Raises:
        InputError: one cannot be imported.
    """
    return custom_code.load(settings.evaluation.metrics)


def rows(
    pair: Pair,
    truth: Truth,
    transform: Transform,
    origin: Origin,
    settings: EvaluateSettings,
    *,
    custom: tuple[CustomMetric, ...] = (),
) -> Iterator[MetricRow]:
    """Measure a pair, strictly and by the rules of the challenges that the settings name.

    Args:
        pair: its row of the manifest.
        truth: its labels and points.
        transform: the complete transform, alignment and field.
        origin: what registered it.
        settings: how labels are read, and what is measured.
        custom: the custom metrics of the settings.

    Raises:
        DataError: a challenge defines no metrics for such images, or a custom metric failed.
    """
    chosen = settings.evaluation
    registered = RegisteredPair(pair, truth, transform, settings.labels, chosen.threshold, custom)
    units = {metric.settings.column: metric.settings.unit for metric in custom}
    for measurement in strict.measurements(registered, surfaces=chosen.surface_metrics):
        yield _row(pair, origin, measurement, units)
    for family in dict.fromkeys(chosen.families):
        for measurement in challenges.measurements(registered, family):
            yield _row(pair, origin, measurement, units)


def _row(
    pair: Pair, origin: Origin, measurement: Measurement, units: Mapping[str, str]
) -> MetricRow:
    before, after = measurement.figures
    return MetricRow(
        model=origin.model,
        fold=origin.fold,
        set=origin.set,
        pair=pair.id,
        patient=pair.patient,
        label=measurement.label,
        role=measurement.role,
        metric=measurement.metric,
        unit=units.get(measurement.metric) or definition(measurement.metric).unit,
        before=before,
        after=after,
        note=measurement.note,
    )
