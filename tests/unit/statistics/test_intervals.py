"""Intervals of medians and rates, by hand and against SciPy."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tenter.statistics.intervals import median_interval, rate_interval


def alone(count: int) -> list[tuple[str, ...]]:
    return [(f"p{index:03d}",) for index in range(count)]


@pytest.mark.parametrize("count", [6, 7, 8, 9, 12, 13, 14, 17, 30, 58, 65, 84, 500])
def test_of_one_value_a_patient_bounds_are_those_of_scipys_quantile_test(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    expected: Any = stats.quantile_test(values, q=0, p=0.5).confidence_interval(0.95)
    assert median_interval(values, alone(count)) == (expected.low, expected.high)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_fewer_than_six_patients_have_no_interval(count: int) -> None:
    values = [float(index) for index in range(count) for _ in range(3)]
    found = median_interval(np.array(values), [p for p in alone(count) for _ in range(3)])
    assert all(math.isnan(bound) for bound in found)


def test_six_patients_are_bounded_by_the_least_and_the_largest_value() -> None:
    assert median_interval(np.array([3.0, 9.0, 1.0, 4.0, 2.0, 5.0]), alone(6)) == (1, 9)


def test_equal_values_of_a_patient_count_once() -> None:
    values = np.random.default_rng(1).normal(10, 2, 11)
    repeated = median_interval(np.repeat(values, 20), [p for p in alone(11) for _ in range(20)])
    assert repeated == median_interval(values, alone(11))


def test_signs_of_a_patient_change_together() -> None:
    """By hand: of 64 assignments of signs, which sums are as far from zero as those observed."""
    values = np.arange(10.0)
    patients = [(name,) for name in "aaaabbcdef"]
    accepted = []
    for low in range(11):
        sums = [
            sum(1 if v < low else -1 for v in range(10) if patients[v] == (p,)) for p in "abcdef"
        ]
        flips = [
            abs(np.dot(sums, s)) >= abs(sum(sums)) for s in itertools.product((1, -1), repeat=6)
        ]
        if np.mean(flips) > 0.05:
            accepted.append(low)
    assert median_interval(values, patients) == (accepted[0] - 1, accepted[-1])


def test_an_infinite_value_counts_by_its_rank() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, math.inf, math.inf])
    assert median_interval(values, alone(6)) == (1, math.inf)


@pytest.mark.parametrize("values", [[2.0] * 8, [1.0, *[2.0] * 9, 3.0]])
def test_ties_may_leave_a_single_value(values: list[float]) -> None:
    assert median_interval(np.array(values), alone(len(values))) == (2, 2)


@pytest.mark.parametrize("patients", [8, 14])
def test_the_order_of_pairs_does_not_matter(patients: int) -> None:
    random = np.random.default_rng(0)
    owners = [*alone(patients), *alone(patients)[:5]]
    values = np.round(random.normal(size=len(owners)), 1)
    order = random.permutation(values.size)
    first = median_interval(values, owners)
    assert median_interval(values[order], [owners[i] for i in order]) == first


def couples(subjects: int) -> list[tuple[str, ...]]:
    return [(f"s{a:02d}", f"s{b:02d}") for a, b in itertools.permutations(range(subjects), 2)]


def test_pairs_that_share_subjects_have_a_wider_interval_than_as_many_patients() -> None:
    effects = dict(
        zip(
            [f"s{i:02d}" for i in range(16)], np.random.default_rng(3).normal(0, 5, 16), strict=True
        )
    )
    pairs = couples(16)
    values = np.array([effects[a] + effects[b] for a, b in pairs])
    shared, apart = median_interval(values, pairs), median_interval(values, alone(len(pairs)))
    assert shared[1] - shared[0] > 2 * (apart[1] - apart[0])


def test_pairs_of_subjects_that_no_other_pair_shares_are_independent() -> None:
    values = np.random.default_rng(0).normal(size=9)
    pairs = [(f"a{i}", f"b{i}") for i in range(9)]
    assert median_interval(values, pairs) == median_interval(values, alone(9))


def test_both_directions_of_a_pair_of_subjects_are_one_unit() -> None:
    values = np.random.default_rng(0).normal(size=9)
    pairs = [pair for i in range(9) for pair in ((f"a{i}", f"b{i}"), (f"b{i}", f"a{i}"))]
    assert median_interval(np.repeat(values, 2), pairs) == median_interval(values, alone(9))


def test_an_atlas_that_all_are_registered_to_leaves_nothing_to_tell_atlases_apart() -> None:
    values = np.random.default_rng(0).normal(size=40)
    found = median_interval(values, [(f"p{i}", "atlas") for i in range(40)])
    assert all(math.isnan(bound) for bound in found)


@pytest.mark.parametrize(("count", "total"), [(0, 1), (0, 10), (3, 17), (10, 10), (1, 84)])
def test_of_one_pair_a_patient_the_interval_is_that_of_clopper_and_pearson(
    count: int, total: int
) -> None:
    expected = stats.binomtest(count, total).proportion_ci(method="exact")
    assert rate_interval(count, alone(total)) == pytest.approx(
        (expected.low, expected.high), abs=1e-12
    )


def test_equally_many_pairs_a_patient_count_as_one() -> None:
    expected = stats.binomtest(3, 12).proportion_ci(method="exact")
    found = rate_interval(12, [p for p in alone(12) for _ in range(4)])
    assert found == pytest.approx((expected.low, expected.high))


def test_unequally_many_pairs_count_by_their_effective_number() -> None:
    """5 + 1 + 1 + 1 pairs are (8 squared) / (25 + 3) = 16/7 observations, of which 1/4 failed."""
    patients = [("a",)] * 5 + [("b",), ("c",), ("d",)]
    low = stats.beta.ppf(0.025, 4 / 7, 12 / 7 + 1)
    high = stats.beta.ppf(0.975, 4 / 7 + 1, 12 / 7)
    assert rate_interval(2, patients) == pytest.approx((low, high))


def test_all_pairs_of_subjects_count_as_half_as_many_as_subjects() -> None:
    expected = stats.binomtest(2, 5).proportion_ci(method="exact")
    assert rate_interval(36, couples(10)) == pytest.approx((expected.low, expected.high))


def test_a_rate_of_nothing_has_no_interval() -> None:
    assert all(math.isnan(bound) for bound in rate_interval(0, []))
