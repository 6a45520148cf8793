"""Quantiles, intervals and rates, by hand and against NumPy and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tenter.metrics.summary import (
    describe,
    generator,
    median_interval,
    quantiles,
    weighted_quantile,
    wilson,
)


def test_finite_quantiles_are_numpys() -> None:
    values = np.random.default_rng(0).normal(size=37)
    shares = (0.0, 0.1, 0.25, 0.5, 0.77, 1.0)
    np.testing.assert_allclose(quantiles(values, shares), np.quantile(values, shares), atol=1e-12)


@pytest.mark.parametrize(
    ("values", "median"),
    [
        ([1.0, 2.0, math.inf], 2.0),
        ([1.0, math.inf, math.inf], math.inf),
        ([1.0, 2.0, math.inf, math.inf], math.inf),
        ([math.inf, math.inf], math.inf),
        ([-math.inf, 3.0], -math.inf),
        ([-math.inf, math.inf], math.inf),
    ],
)
def test_what_could_not_be_measured_keeps_its_rank(values: list[float], median: float) -> None:
    assert quantiles(np.array(values), (0.5,))[0] == median


def test_weights_are_repetitions() -> None:
    values, weights = np.array([1.0, 3.0, 5.0]), np.array([[2, 0, 3], [1, 4, 1], [0, 0, 1]])
    expected = [np.quantile(np.repeat(values, row), 0.3) for row in weights.T]
    np.testing.assert_allclose(weighted_quantile(values, weights, 0.3), expected)


def test_a_resample_without_values_has_no_quantile() -> None:
    assert np.isnan(weighted_quantile(np.array([1.0, 2.0]), np.zeros((2, 1), dtype=np.int64), 0.5)[0])


def test_the_interval_of_one_value_a_patient_is_the_ordinary_bootstrap() -> None:
    values = np.random.default_rng(1).normal(10, 2, 40)
    patients = [(f"p{index}",) for index in range(40)]
    low, high = median_interval(values, patients, 4000, generator(0, "test"))
    expected = stats.bootstrap(
        (values,), np.median, n_resamples=4000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert low == pytest.approx(expected.low, abs=0.25)
    assert high == pytest.approx(expected.high, abs=0.25)


def test_repeating_each_patients_pairs_does_not_narrow_the_interval() -> None:
    values = np.random.default_rng(1).normal(10, 2, 15)
    patients = [(f"p{index}",) for index in range(15)]
    once = median_interval(values, patients, 1000, generator(0))
    many = median_interval(
        np.repeat(values, 20), [p for p in patients for _ in range(20)], 1000, generator(0)
    )
    assert many[1] - many[0] == pytest.approx(once[1] - once[0], rel=0.25)


def test_pairs_that_share_a_subject_are_not_independent() -> None:
    own = np.random.default_rng(3).normal(0, 5, 12)
    couples = [(a, b) for a in range(12) for b in range(a)]
    values = np.array([own[a] + own[b] for a, b in couples])
    shared = median_interval(values, [(f"p{a}", f"p{b}") for a, b in couples], 1000, generator(0))
    naive = median_interval(values, [(f"p{a}-{b}",) for a, b in couples], 1000, generator(0))
    assert shared[1] - shared[0] > 1.5 * (naive[1] - naive[0])


def test_one_patient_has_no_interval() -> None:
    low, high = median_interval(np.array([1.0, 2.0]), [("a",), ("a",)], 100, generator(0))
    assert math.isnan(low)
    assert math.isnan(high)


def test_the_interval_reaches_the_worst_where_many_vanished() -> None:
    values = np.array([1.0, 2.0, 3.0, math.inf, math.inf])
    patients = [(name,) for name in "abcde"]
    assert median_interval(values, patients, 500, generator(0))[1] == math.inf


def test_many_resamples_in_blocks_are_all_used(monkeypatch: pytest.MonkeyPatch) -> None:
    values, patients = np.arange(10.0), [(str(index),) for index in range(10)]
    whole = median_interval(values, patients, 500, generator(0))
    monkeypatch.setattr("tenter.metrics.summary.BLOCK", 70)
    assert median_interval(values, patients, 500, generator(0)) == whole


def test_random_numbers_depend_on_seed_and_name_alone() -> None:
    first, again = generator(0, "dice", "a").random(), generator(0, "dice", "a").random()
    others = {
        generator(1, "dice", "a").random(),
        generator(0, "dicea").random(),
        generator(0, "a", "dice").random(),
    }
    assert first == again
    assert first not in others
    assert len(others) == 3


def test_a_distribution_in_a_few_figures() -> None:
    found = describe(np.arange(11.0), [(str(i),) for i in range(11)], 200, generator(0))
    assert (found.mean, found.median, found.q1, found.q3, found.p10, found.p90) == (5, 5, 2.5, 7.5, 1, 9)
    assert found.low < 5 < found.high


@pytest.mark.parametrize(("count", "total"), [(0, 10), (3, 17), (10, 10)])
def test_wilsons_interval_is_scipys(count: int, total: int) -> None:
    expected = stats.binomtest(count, total).proportion_ci(method="wilson")
    assert wilson(count, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_several_pairs_a_patient_widen_wilsons_interval() -> None:
    assert wilson(10, 40, 10) == pytest.approx(_wilson_of_rate(0.25, 10))


def _wilson_of_rate(rate: float, units: int) -> tuple[float, float]:
    z = stats.norm.ppf(0.975)
    middle = (rate + z**2 / (2 * units)) / (1 + z**2 / units)
    half = z / (1 + z**2 / units) * math.sqrt(rate * (1 - rate) / units + z**2 / (4 * units**2))
    return middle - half, middle + half


def test_a_rate_of_nothing_has_no_interval() -> None:
    assert all(math.isnan(bound) for bound in wilson(0, 0))
