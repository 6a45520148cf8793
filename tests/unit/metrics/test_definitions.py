"""One place says which way a metric is better and how it is shown, and all others follow it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tenter.metrics.definitions import (
    FAMILIES,
    HEADLINE,
    METRICS,
    PRIMARY,
    Metric,
    definition,
    judging,
    order,
)


@pytest.mark.parametrize(
    ("better", "worse"),
    [("higher", (True, False)), ("lower", (False, True)), ("neither", (False, False))],
)
def test_worse_follows_the_better_direction(better: str, worse: tuple[bool, bool]) -> None:
    metric = Metric(name="any", unit="1", better=better)  # type: ignore[arg-type]
    assert (metric.is_worse(1.0, 2.0), metric.is_worse(2.0, 1.0)) == worse


def test_an_unknown_metric_is_strict_without_a_better_direction() -> None:
    unknown = definition("learn2reg_of_another_kind", "mm")
    assert (unknown.family, unknown.better) == ("strict", "neither")
    assert unknown.axis == "learn2reg of another kind (mm)"


@pytest.mark.parametrize(
    ("metric", "family"),
    [
        ("dice", "strict"),
        ("ndv", "strict"),
        ("learn2reg_dice", "learn2reg"),
        ("muregpro_tre", "muregpro"),
    ],
)
def test_a_metric_has_a_family(metric: str, family: str) -> None:
    assert definition(metric).family == family


def test_the_families_are_the_strict_one_and_two_challenges() -> None:
    assert FAMILIES == ("strict", "learn2reg", "muregpro")


def test_no_name_has_two_definitions() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_has_a_title_and_a_direction(metric: Metric) -> None:
    assert metric.title
    assert metric.better in {"higher", "lower"}


def test_a_number_without_unit_shows_none() -> None:
    assert (definition("dice").axis, definition("tre").axis) == ("Dice", "TRE (mm)")


def test_the_primary_outcomes_are_named_in_advance() -> None:
    assert PRIMARY == (
        ("structure", "dice"), ("landmark", "tre"), ("landmark", "rms_tre"),
        ("points", "point_tre"),
    )  # fmt: skip


def test_every_primary_outcome_is_in_the_headline() -> None:
    assert set(PRIMARY) <= set(HEADLINE)


@pytest.mark.parametrize(
    ("role", "metric"), [("structure", "dice"), ("landmark", "tre"), ("field", "")]
)
def test_a_label_is_judged_by_one_metric(role: str, metric: str) -> None:
    assert judging(role) == metric


def test_metrics_are_shown_in_the_order_of_their_definitions() -> None:
    assert sorted(["zeta", "hd95", "alpha", "dice"], key=order) == ["dice", "hd95", "alpha", "zeta"]


def test_definitions_load_neither_torch_nor_numpy() -> None:
    code = "import sys, tenter.metrics.definitions; print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
