"""One place says which way a metric is better, and all others follow it."""

from __future__ import annotations

import pytest

from tenter.metrics.definitions import PRIMARY, STRICT, Metric, strict_metric
from tenter.reporting.definitions import DEFINITIONS


@pytest.mark.parametrize(
    ("better", "worse"),
    [("higher", (True, False)), ("lower", (False, True)), ("neither", (False, False))],
)
def test_worse_follows_the_better_direction(better: str, worse: tuple[bool, bool]) -> None:
    metric = Metric("any", "1", better)  # type: ignore[arg-type]
    assert (metric.is_worse(1.0, 2.0), metric.is_worse(2.0, 1.0)) == worse


def test_an_unknown_metric_has_no_better_direction() -> None:
    assert strict_metric("correlation").better == "neither"


def test_the_report_describes_every_strict_metric_in_their_order() -> None:
    assert list(DEFINITIONS) == [metric.name for metric in STRICT]


@pytest.mark.parametrize("metric", STRICT, ids=lambda metric: metric.name)
def test_the_report_takes_direction_and_unit_from_the_definition(metric: Metric) -> None:
    found = DEFINITIONS[metric.name]
    assert (found.better, found.unit or "1") == (metric.better, metric.unit)


def test_the_primary_outcomes_are_named_in_advance() -> None:
    assert PRIMARY == (
        ("structure", "dice"), ("landmark", "tre"), ("landmark", "rms_tre"),
        ("points", "point_tre"),
    )  # fmt: skip
