"""Learn2Reg's aggregates of a cohort by hand."""

from __future__ import annotations

import math

import pytest

from tenter.statistics.learn2reg_cohort import aggregate


@pytest.mark.parametrize(
    ("metric", "tail"),
    [("dice", 0.3), ("hd95", 0.3), ("foldings", 0.3), ("tre", 0.7), ("sd_log_jacobian", 0.7)],
)
def test_a_cohort_is_its_mean_its_deviation_and_a_quantile(metric: str, tail: float) -> None:
    values = [4.0, 1.0, 3.0, 2.0, 10.0]
    mean, deviation, robust = aggregate(f"learn2reg_{metric}", values)
    assert (mean, deviation) == pytest.approx((4.0, math.sqrt(10.0)))
    assert robust == pytest.approx({0.3: 2.2, 0.7: 3.8}[tail])


def test_a_case_without_figure_leaves_the_cohort_without() -> None:
    assert all(map(math.isnan, aggregate("learn2reg_dice", [0.5, math.nan])))
