"""µ-RegPro's scores of a cohort by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tenter.statistics.muregpro_cohort import Cohort, robust_dice, score

ERRORS = np.array([[2.0, 3, 0], [1, 7 / 3, 0], [4, 0, 0]])


def test_a_cohort_by_hand() -> None:
    found = Cohort(ERRORS, ERRORS).aggregates(whole=False)
    first, second, third = math.sqrt(6.5), math.sqrt((1 + 49 / 9) / 2), math.sqrt(8)
    assert found["tre"] == pytest.approx((first + second + third) / 3)
    assert found["rtre"] == pytest.approx((second + first) / 2)  # 2 of 3 cases
    assert found["rts"] == pytest.approx((2 + 1 + 0) / 3)  # 1 of 2 labels
    assert found["hd95"] == pytest.approx(ERRORS.mean())


def test_a_cohort_in_whole_numbers() -> None:
    """Mean squares are 13/2, (1 + 4)/2 and 16/2, cut to 6, 2 and 8."""
    found = Cohort(ERRORS, ERRORS).aggregates(whole=True)
    assert found["tre"] == pytest.approx((math.sqrt(6) + math.sqrt(2) + math.sqrt(8)) / 3)
    assert found["hd95"] == pytest.approx(ERRORS.mean())


def test_a_cohort_without_errors_has_none() -> None:
    assert math.isnan(Cohort(np.zeros((3, 2)), np.zeros((3, 2))).aggregates(whole=False)["tre"])


def test_of_six_labels_four_are_robust() -> None:
    errors = np.array([[1.0, 2, 3, 4, 50, 60]])
    assert Cohort(errors, errors).aggregates(whole=False)["rts"] == pytest.approx(math.sqrt(30 / 4))


def test_robust_dice_keeps_the_best_two_thirds() -> None:
    assert robust_dice([0.1, 0.9, 0.7]) == pytest.approx(0.8)


def test_the_score_is_the_challenges_weighted_sum() -> None:
    registered = {"tre": 1.0, "rtre": 1.0, "rts": 3.0, "hd95": 9.0}
    before = {"tre": 4.0, "rtre": 2.0, "rts": 4.0, "hd95": 6.0}
    expected = 0.2 * 0.8 + 0.1 * 0.85 + 0.3 * 0.75 + 0.1 * 0.5 + 0.1 * 0.25 + 0.2 * 0
    assert score([0.9, 0.8, 0.7], registered, before) == pytest.approx(expected)


def test_nothing_is_scored_against_nothing() -> None:
    zero = dict.fromkeys(("tre", "rtre", "rts", "hd95"), 0.0)
    assert math.isnan(score([1.0], zero, zero))
