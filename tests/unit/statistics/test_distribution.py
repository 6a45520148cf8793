"""Quantiles, by hand and against NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tenter.statistics.distribution import describe, quantiles


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


def test_a_distribution_in_a_few_figures() -> None:
    found = describe(np.arange(11.0), [(str(i),) for i in range(11)])
    assert (found.mean, found.median, found.q1, found.q3, found.p10, found.p90) == (
        5,
        5,
        2.5,
        7.5,
        1,
        9,
    )
    assert (found.low, found.high) == (1, 9)
