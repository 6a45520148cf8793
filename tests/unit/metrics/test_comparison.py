"""One model against another, by hand and against SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tenter.metrics.comparison import compare, differences, holm, signed_rank_p
from tenter.metrics.summary import generator


def test_the_patient_is_the_unit() -> None:
    model = np.array([1.0, 3.0, 2.0, 10.0])
    reference = np.array([2.0, 6.0, 7.0, 11.0])
    patients = [("a",), ("a",), ("a",), ("b",)]
    found = compare(model, reference, patients, resamples=100, random=generator(0))
    assert (found.units, found.model, found.reference, found.difference) == (2, 6.0, 8.5, -2.5)
    assert (found.lower, found.higher) == (2, 0)


def test_the_order_of_pairs_does_not_matter() -> None:
    random = np.random.default_rng(0)
    model, reference = random.normal(size=30), random.normal(size=30)
    patients = [(f"p{index % 12}",) for index in range(30)]
    shuffled = random.permutation(30)
    first = compare(model, reference, patients, resamples=200, random=generator(0))
    again = compare(
        model[shuffled],
        reference[shuffled],
        [patients[i] for i in shuffled],
        resamples=200,
        random=generator(0),
    )
    assert first == again


def test_a_label_that_vanished_with_both_models_is_a_tie() -> None:
    found = differences(np.array([math.inf, math.inf, 1.0]), np.array([math.inf, 2.0, math.inf]))
    np.testing.assert_array_equal(found, [0, math.inf, -math.inf])


def test_p_is_scipys_where_all_is_finite() -> None:
    values = np.random.default_rng(4).normal(0.4, 1, 24)
    assert signed_rank_p(values) == pytest.approx(stats.wilcoxon(values).pvalue, abs=1e-12)


def test_an_infinite_difference_counts_by_its_rank() -> None:
    values = np.array([1.0, -2.0, 3.0, 4.0, 5.0, math.inf])
    assert signed_rank_p(values) == pytest.approx(stats.wilcoxon([1.0, -2, 3, 4, 5, 6]).pvalue)


def test_no_difference_at_all_is_no_evidence() -> None:
    assert signed_rank_p(np.zeros(5)) == 1


def test_holms_correction_of_a_textbook_case() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))


def test_a_corrected_p_is_no_more_than_one() -> None:
    assert holm([0.9, 0.8]) == (1.0, 1.0)


def test_no_tests_need_no_correction() -> None:
    assert holm([]) == ()
