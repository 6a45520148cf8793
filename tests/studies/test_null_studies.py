"""Tests find nothing where nothing is, in 5 % of cohorts, and 95 % intervals hold the truth.

`python tests/null_cohorts.py` prints the figures that are tested here.
"""

from __future__ import annotations

import itertools
import math

import pytest

import null_cohorts
from null_cohorts import EFFECTS, MEASURES, Cohort

QUICK, LONG = 200, 3000
"""Repetitions in `make check` and in `make soak`."""

COVERED = 0.92
"""Share of intervals that hold the truth, at least."""

OF_ONE = ("single", "several", "uneven")
OF_TWO = ("all", "folds", "groups", "drawn")
SIZES = (6, 8, 14, 58)
EVERY = [*itertools.product(OF_ONE, SIZES), *itertools.product(OF_TWO, SIZES[2:])]


def _slack(share: float, repeats: int) -> float:
    """Three standard errors of a share."""
    return 3 * math.sqrt(share * (1 - share) / repeats)


def _assert_level(p: float, repeats: int, least: float = 0.03, most: float = 0.07) -> None:
    assert least - _slack(least, repeats) <= p <= most + _slack(most, repeats)


def _assert_covered(share: float, repeats: int) -> None:
    assert math.isnan(share) or share >= COVERED - _slack(COVERED, repeats)


@pytest.mark.parametrize(
    ("cohort", "effects"),
    [
        (Cohort("several", 14), "strong"),
        (Cohort("single", 7, 4), "weak"),
        (Cohort("folds", 14), "strong"),
        (Cohort("all", 14), "weak"),
        (Cohort("groups", 20), "fixed"),
    ],
)
def test_models_that_are_alike_seldom_differ(cohort: Cohort, effects: str) -> None:
    _assert_level(MEASURES["p"]["normal"](cohort, EFFECTS[effects], QUICK), QUICK)


@pytest.mark.parametrize(
    ("measure", "name", "cohort", "effects"),
    [
        ("median", "vanished", Cohort("several", 6, 2), "strong"),
        ("median", "skewed", Cohort("uneven", 8), "weak"),
        ("median", "ties", Cohort("several", 14), "failing"),
        ("median", "normal", Cohort("folds", 20), "strong"),
        ("difference", "skewed", Cohort("several", 14), "strong"),
        ("difference", "normal", Cohort("groups", 14), "fixed"),
        ("rate", "0.1", Cohort("several", 8), "strong"),
        ("rate", "0.5", Cohort("uneven", 3), "strong"),
        ("rate", "0.25", Cohort("drawn", 14), "strong"),
    ],
)
def test_intervals_hold_the_truth(measure: str, name: str, cohort: Cohort, effects: str) -> None:
    share = MEASURES[measure][name](cohort, EFFECTS[effects], QUICK)
    assert not math.isnan(share)
    _assert_covered(share, QUICK)


@pytest.mark.parametrize("cohort", [Cohort(kind, n) for kind in OF_ONE for n in (2, 3, 4, 5)])
def test_too_few_patients_have_no_interval_and_no_p(cohort: Cohort) -> None:
    for measure in ("p", "median", "difference"):
        assert math.isnan(MEASURES[measure]["normal"](cohort, EFFECTS["none"], 5))


@pytest.mark.parametrize("cohort", [Cohort(kind, n) for kind in OF_TWO for n in (4, 8, 12, 13)])
def test_too_few_subjects_have_no_interval_and_no_p(cohort: Cohort) -> None:
    if cohort.kind == "folds" and cohort.patients < 11:
        return  # two subjects a fold share none with another pair
    for measure in ("p", "median", "difference"):
        assert math.isnan(MEASURES[measure]["normal"](cohort, EFFECTS["none"], 5))


@pytest.mark.soak
@pytest.mark.parametrize("labels", [1, 4])
@pytest.mark.parametrize("patients", [6, 7, 8, 14, 58])
@pytest.mark.parametrize("kind", OF_ONE)
@pytest.mark.parametrize("effects", ["none", "strong", "heavy"])
def test_false_positives_of_patients(kind: str, patients: int, labels: int, effects: str) -> None:
    for name in ("normal", "vanished"):
        p = MEASURES["p"][name](Cohort(kind, patients, labels), EFFECTS[effects], LONG)
        _assert_level(p, LONG, least=0.0 if name == "vanished" and patients < 14 else 0.03)


@pytest.mark.soak
@pytest.mark.parametrize("labels", [1, 4])
@pytest.mark.parametrize("patients", [14, 20, 58])
@pytest.mark.parametrize("kind", OF_TWO)
@pytest.mark.parametrize("effects", ["none", "weak", "strong", "heavy", "fixed"])
def test_false_positives_of_subjects(kind: str, patients: int, labels: int, effects: str) -> None:
    repeats = LONG if patients < 58 else LONG // 3
    p = MEASURES["p"]["normal"](Cohort(kind, patients, labels), EFFECTS[effects], repeats)
    # Without effects of subjects the test is the more careful the fewer degrees of freedom it has.
    _assert_level(p, repeats, least=0.015 if effects == "none" else 0.025)


@pytest.mark.soak
@pytest.mark.parametrize("measure", ["median", "difference"])
@pytest.mark.parametrize(("kind", "patients"), EVERY)
@pytest.mark.parametrize("effects", ["none", "weak", "strong", "heavy", "fixed"])
def test_coverage(measure: str, kind: str, patients: int, effects: str) -> None:
    repeats = LONG if patients < 58 else LONG // 3
    for name, labels in itertools.product(MEASURES[measure], (1, 4)):
        run = MEASURES[measure][name]
        _assert_covered(run(Cohort(kind, patients, labels), EFFECTS[effects], repeats), repeats)


@pytest.mark.soak
@pytest.mark.parametrize(("kind", "patients"), list(itertools.product(OF_ONE, SIZES)))
def test_coverage_where_some_patients_fail_altogether(kind: str, patients: int) -> None:
    for labels in (1, 4):
        share = MEASURES["median"]["skewed"](
            Cohort(kind, patients, labels), EFFECTS["failing"], LONG
        )
        _assert_covered(share, LONG)


@pytest.mark.soak
@pytest.mark.parametrize("rate", null_cohorts.RATES)
@pytest.mark.parametrize(("kind", "patients"), [*EVERY, *itertools.product(OF_ONE, (2, 3))])
def test_coverage_of_rates(kind: str, patients: int, rate: float) -> None:
    for effects in ("none", "weak", "strong", "fixed"):
        cohort = Cohort(kind, patients)
        _assert_covered(MEASURES["rate"][str(rate)](cohort, EFFECTS[effects], LONG), LONG)
