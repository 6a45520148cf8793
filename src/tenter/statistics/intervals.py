"""Distribution-free 95 % intervals of medians and rates.

The interval of a median inverts the sign test: it contains all m for which the numbers of values
below and above m differ no more than chance explains. For independent values the bounds are order
statistics. The values of a patient change sides together, so that patients are the sample. Both
bounds are NaN if there are too few patients to reach 95 %.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import betaincinv
from scipy.stats import binom
from scipy.stats import t as student

from tenter.statistics.dependence import Dependence, Grouping, Index, Patients, Values

LEVEL = 0.05
"""Level of tests; intervals have a confidence of 1 - LEVEL."""

NORMAL = 1.959963984540054
"""Quantile 1 - LEVEL / 2 of the normal distribution."""

MOST_FLIPPED = 12
"""Up to this many independent units, all assignments of signs are enumerated."""

NONE = (math.nan, math.nan)


def median_interval(values: Values, patients: Patients) -> tuple[float, float]:
    """95 % interval of the median, with patients as the sample.

    Both bounds are among the values. With n patients of one value each, they are the values of
    rank k and n + 1 - k, with the largest k that gives 95 % by the binomial distribution.

    Args:
        values: at least one; infinite ones count by their rank.
        patients: the patient or the two patients of each value.

    Returns:
        Lower and upper bound. Both are NaN for fewer than six independent patients or pairs of
        patients, for pairs that share patients if there are too few patients
        (`Dependence.degrees`), and if so few patients have most of the values that the median
        is unbounded.

    Source: Hettmansperger and McKean, Robust Nonparametric Statistical Methods (2011), 1.3.
    """
    order = np.argsort(values, kind="stable")
    ranks = np.empty(values.size, dtype=np.int64)
    ranks[order] = np.arange(values.size)
    rejected = _rejected(Dependence.of(patients), ranks)
    if not (rejected[0] and rejected[-1]):
        return NONE
    ordered = values[order]
    # Numbers of low values at which the next value differs: from none to all.
    cuts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1], [True]]))
    surplus = 2 * cuts - values.size
    not_too_low = np.flatnonzero(~(rejected[cuts] & (surplus < 0)))
    not_too_high = np.flatnonzero(~(rejected[cuts] & (surplus > 0)))
    return float(ordered[cuts[not_too_low[0]] - 1]), float(ordered[cuts[not_too_high[-1]]])


def _rejected(dependence: Dependence, ranks: Index) -> Bool[np.ndarray, "k"]:
    """For every number of low values from 0 to n, whether the sign test rejects it."""
    if not dependence.shared:
        return _rejected_of_independent(dependence.units, ranks)
    surplus = np.abs(2 * np.arange(ranks.size + 1) - ranks.size)
    degrees = dependence.degrees
    if math.isnan(degrees):
        return np.zeros(ranks.size + 1, dtype=bool)
    error = np.sqrt(np.maximum(dependence.running_variances(ranks), 0))
    return np.asarray(surplus > student.ppf(1 - LEVEL / 2, degrees) * error)


def _rejected_of_independent(units: Grouping, ranks: Index) -> Bool[np.ndarray, "k"]:
    """Test by exchanging low and high in each unit: exhaustively, or by the normal limit.

    With one value per unit the distribution is binomial.
    """
    low_values = np.arange(ranks.size + 1)
    if np.all(units.sizes == 1):
        fewer = np.minimum(low_values, ranks.size - low_values)
        return np.asarray(2 * binom.cdf(fewer, ranks.size, 0.5) <= LEVEL)
    surplus = 2 * low_values - ranks.size
    if units.sizes.size > MOST_FLIPPED:
        squares = units.running_squares(ranks, np.zeros(ranks.size + 1))
        return np.asarray(np.abs(surplus) - 1 > NORMAL * np.sqrt(squares))
    low = np.zeros((ranks.size + 1, units.sizes.size))
    low[ranks[units.value] + 1, units.group] = 1
    sums = 2 * np.cumsum(low, axis=0) - units.sizes
    return flip_p(sums) <= LEVEL


def flip_p(sums: Float[np.ndarray, "k u"]) -> Float[np.ndarray, "k"]:
    """Two-sided p of each row's sum against the sums with all other signs of its terms.

    Args:
        sums: integers, at most `MOST_FLIPPED` in a row.
    """
    signs = _signs(sums.shape[1])
    p = [
        np.mean(np.abs(part @ signs) >= np.abs(part.sum(1))[:, None], axis=1)
        for part in np.array_split(sums, max(1, len(sums) // 256))
    ]
    return np.concatenate(p)


def _signs(units: int) -> Int[np.ndarray, "u s"] | Float[np.ndarray, "u s"]:
    """All assignments of signs to units, up to a common sign."""
    other_signs = itertools.product((1.0, -1.0), repeat=units - 1)
    return np.array([(1.0, *signs) for signs in other_signs]).T


def rate_interval(count: int, patients: Patients) -> tuple[float, float]:
    """95 % interval of a rate (Clopper and Pearson), with patients as the sample.

    The sample size is not the number of pairs but their effective number, assuming that all pairs
    of a patient have the same outcome (`Dependence.effective_number`).
    Sources: Clopper and Pearson, Biometrika 26 (1934) 404-413; Korn and Graubard, Survey
    Methodology 24 (1998) 193-201.

    Args:
        count: pairs in which the event happened.
        patients: the patient or the two patients of each pair; without any, both bounds are NaN.
    """
    if not patients:
        return NONE
    number = Dependence.of(patients).effective_number()
    events = number * count / len(patients)
    tail, non_events = LEVEL / 2, number - events
    low = float(betaincinv(events, non_events + 1, tail)) if count else 0.0
    high = float(betaincinv(events + 1, non_events, 1 - tail)) if count < len(patients) else 1.0
    return low, high
