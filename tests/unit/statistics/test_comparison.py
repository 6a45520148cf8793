"""One model against another, by hand and against SciPy."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tenter.statistics.comparison import compare, differences, holm, signed_rank_p


def alone(count: int) -> list[tuple[str, ...]]:
    return [(f"p{index:03d}",) for index in range(count)]


def test_the_patient_is_the_unit() -> None:
    model = np.array([1.0, 3.0, 2.0, 10.0])
    reference = np.array([2.0, 6.0, 7.0, 11.0])
    found = compare(model, reference, [("a",), ("a",), ("a",), ("b",)])
    assert (found.units, found.model, found.reference) == (2, 6.0, 8.5)
    assert (found.lower, found.higher) == (2, 0)


def test_the_difference_is_the_median_of_paired_differences() -> None:
    """By patient: the paired differences are 1, 1, -9 and 1; that of the medians is -1."""
    model, reference = np.array([2.0, 3.0, 1.0, 5.0]), np.array([1.0, 2.0, 10.0, 4.0])
    found = compare(model, reference, [("a",), ("a",), ("a",), ("b",)])
    assert (found.difference, found.higher, found.lower) == (1, 2, 0)


@pytest.mark.parametrize("seed", range(5))
def test_exchanging_the_models_changes_the_sign_alone(seed: int) -> None:
    random = np.random.default_rng(seed)
    model, reference = (np.where(x > 1, math.inf, x) for x in random.normal(size=(2, 40)))
    patients = [(f"p{index % 13}",) for index in range(40)]
    ours, theirs = compare(model, reference, patients), compare(reference, model, patients)
    assert (ours.difference, ours.p) == (-theirs.difference, theirs.p)
    assert (ours.low, ours.high) == (-theirs.high, -theirs.low)


def test_the_order_of_pairs_does_not_matter() -> None:
    random = np.random.default_rng(0)
    model, reference = random.normal(size=30), random.normal(size=30)
    patients = [(f"p{index % 12}",) for index in range(30)]
    shuffled = random.permutation(30)
    again = compare(model[shuffled], reference[shuffled], [patients[i] for i in shuffled])
    assert compare(model, reference, patients) == again


def test_a_label_that_vanished_with_both_models_is_a_tie() -> None:
    found = differences(np.array([math.inf, math.inf, 1.0]), np.array([math.inf, 2.0, math.inf]))
    np.testing.assert_array_equal(found, [0, math.inf, -math.inf])


@pytest.mark.parametrize("count", [6, 7, 10, 24, 50])
def test_p_is_scipys_where_all_is_finite(count: int) -> None:
    values = np.random.default_rng(count).normal(0.4, 1, count)
    expected = stats.wilcoxon(values, method="exact").pvalue
    assert signed_rank_p(values, alone(count)) == pytest.approx(expected, abs=1e-12)


def test_p_of_many_units_is_scipys_normal_approximation() -> None:
    values = np.round(np.random.default_rng(4).normal(0.1, 1, 300), 1)
    limit: Any = "asymptotic"
    expected = stats.wilcoxon(values, method=limit).pvalue
    assert signed_rank_p(values, alone(300)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_p_is_exact_with_ties(seed: int) -> None:
    values = np.random.default_rng(seed).integers(-4, 7, 10).astype(float)
    kept = values[values != 0]
    ranks = np.sign(kept) * stats.rankdata(np.abs(kept))
    signs = np.array(list(itertools.product((1, -1), repeat=kept.size)))
    expected = np.mean(np.abs(signs @ np.abs(ranks)) >= abs(ranks.sum()) - 1e-9)
    assert signed_rank_p(values, alone(10)) == pytest.approx(expected, abs=1e-12)


def test_an_infinite_difference_counts_by_its_rank() -> None:
    values = np.array([1.0, -2.0, 3.0, 4.0, 5.0, math.inf])
    assert signed_rank_p(values, alone(6)) == pytest.approx(
        stats.wilcoxon([1.0, -2, 3, 4, 5, 6]).pvalue
    )


@pytest.mark.parametrize("values", [[1.0] * 5, [0.0] * 9, [0.0] * 9 + [1.0] * 5])
def test_fewer_than_six_differences_have_no_p(values: list[float]) -> None:
    assert math.isnan(signed_rank_p(np.array(values), alone(len(values))))


def test_both_directions_of_a_pair_of_subjects_are_one_piece_of_evidence() -> None:
    values = np.random.default_rng(0).normal(0.5, 1, 8)
    both = [pair for i in range(8) for pair in ((f"a{i}", f"b{i}"), (f"b{i}", f"a{i}"))]
    expected = stats.wilcoxon(values, method="exact").pvalue
    assert signed_rank_p(np.repeat(values, 2), both) == pytest.approx(expected, abs=1e-12)


def test_pairs_that_share_subjects_are_not_taken_for_independent() -> None:
    effects = np.random.default_rng(4).normal(0.3, 1, 16)
    ends = list(itertools.permutations(range(16), 2))
    gain = np.array([effects[a] + effects[b] for a, b in ends])
    shared = signed_rank_p(gain, [(f"s{a:02d}", f"s{b:02d}") for a, b in ends])
    subjects = stats.ttest_1samp(effects, 0).pvalue
    assert stats.wilcoxon(gain).pvalue < 0.05 < shared
    assert shared == pytest.approx(subjects, rel=0.5)


def test_an_atlas_that_all_are_registered_to_leaves_no_p() -> None:
    gain = np.random.default_rng(0).normal(1, 1, 40)
    assert math.isnan(signed_rank_p(gain, [(f"p{i}", "atlas") for i in range(40)]))


def test_holms_correction_of_a_textbook_case() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))


def test_a_corrected_p_is_no_more_than_one() -> None:
    assert holm([0.9, 0.8]) == (1.0, 1.0)


def test_a_comparison_without_p_stays_in_the_family() -> None:
    found = holm([0.01, math.nan, 0.02])
    assert math.isnan(found[1])
    assert (found[0], found[2]) == pytest.approx((0.03, 0.04))


def test_no_tests_need_no_correction() -> None:
    assert holm([]) == ()
