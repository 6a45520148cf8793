"""Comparison of two models on the same pairs, with patients as the sample.

Several values of one patient are not independent evidence: their paired differences are
reduced to their median before any test. Pairs of two subjects are reduced likewise, and pairs
that share a subject are not assumed to be independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import norm, rankdata
from scipy.stats import t as student

from tenter.statistics.dependence import Dependence, Patients, Values
from tenter.statistics.intervals import median_interval

FEWEST_UNITS = 6
"""With fewer independent units that have a difference, no p can reach 0.05."""

MOST_EXACT = 200
"""Up to this many independent units, the distribution of the signed-rank sum is exact."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A model against the reference.

    Attributes:
        units: patients (or pairs of subjects) that both were measured on.
        reference: median over units with the reference.
        model: median over units with the model.
        difference: median over units of the unit's median paired difference, model minus
            reference.
        low: lower bound of the difference's 95 % interval; NaN if there are too few units.
        high: upper bound.
        higher: units in which the difference is positive.
        lower: units in which it is negative.
        p: two-sided, of Wilcoxon's signed-rank test over units; NaN if there are too few units.
    """

    units: int
    reference: float
    model: float
    difference: float
    low: float
    high: float
    higher: int
    lower: int
    p: float


def compare(model: Values, reference: Values, patients: Patients) -> Comparison:
    """Compare two models by the same measurements.

    Args:
        model: at least one value; +inf for what could not be measured.
        reference: of the same pairs and labels, in the same order.
        patients: the patient or the two patients of each value.
    """
    units = sorted(set(patients))
    index_of = {unit: index for index, unit in enumerate(units)}
    owners = np.array([index_of[names] for names in patients])
    sides = (model, reference, differences(model, reference))
    model_medians, reference_medians, gain = (_medians(values, owners) for values in sides)
    low, high = median_interval(gain, units)
    return Comparison(
        units=len(units),
        reference=_median(reference_medians),
        model=_median(model_medians),
        difference=_median(gain),
        low=low,
        high=high,
        higher=int(np.count_nonzero(gain > 0)),
        lower=int(np.count_nonzero(gain < 0)),
        p=signed_rank_p(gain, units),
    )


def differences(model: Values, reference: Values) -> Values:
    """Model minus reference; two values that could not be measured are a tie."""
    tied = model == reference
    gain: Values = np.subtract(model, reference, out=np.zeros_like(model), where=~tied)
    return gain


def signed_rank_p(values: Values, patients: Patients) -> float:
    """Two-sided p of Wilcoxon's signed-rank test that values lie symmetrically about zero.

    Zeros are left out, ties share their mean rank, infinite values share the highest one. The
    null distribution enumerates all signs of independent patients' rank sums. If pairs of
    subjects share patients, the rank sum is divided by its standard error
    (`Dependence.variance`) and compared with Student's t.

    Returns:
        NaN for fewer than six independent patients or pairs of patients with a difference, and
        for pairs that share patients if there are too few patients.

    Sources: Wilcoxon, Biometrics Bulletin 1 (1945) 80-83; Pratt and Gibbons, Concepts of
    Nonparametric Theory (1981), chapter 3 (exact distribution with ties); and `Dependence`.
    """
    nonzero = np.flatnonzero(values)
    if not nonzero.size:
        return math.nan
    ranks = np.sign(values[nonzero]) * rankdata(np.abs(values[nonzero]))
    dependence = Dependence.of([patients[int(index)] for index in nonzero])
    if dependence.shared:
        degrees = dependence.degrees
        if math.isnan(degrees):
            return math.nan
        return float(
            2 * student.sf(abs(ranks.sum()) / math.sqrt(dependence.variance(ranks)), degrees)
        )
    units = dependence.units
    doubled = np.rint(2 * np.bincount(units.group, ranks[units.value])).astype(np.int64)
    return exchanged_signs_p(doubled) if doubled.size >= FEWEST_UNITS else math.nan


def exchanged_signs_p(terms: Int[np.ndarray, "n"]) -> float:
    """Two-sided p of a sum of integers against the sums with all other signs of its terms.

    Exact for up to `MOST_EXACT` terms, from the normal distribution for more.
    """
    total = abs(int(terms.sum()))
    if terms.size > MOST_EXACT:
        return float(2 * norm.sf(total / math.sqrt(np.sum(terms.astype(np.float64) ** 2))))
    sizes = np.abs(terms)
    # Probability of each possible sum of the terms with a positive sign.
    chances: Float[np.ndarray, "m"] = np.zeros(int(sizes.sum()) + 1)
    chances[0] = 1.0
    for size in sizes[sizes > 0]:
        moved = np.concatenate([np.zeros(size), chances[:-size]])
        chances = (chances + moved) / 2
    sums = np.abs(2 * np.arange(chances.size) - sizes.sum())
    return float(min(1.0, chances[sums >= total].sum()))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """P-values adjusted by Holm's method, which controls the family-wise error rate.

    Args:
        p_values: of the whole family; NaN for a comparison without p, which counts as a member.

    Returns:
        In the same order; NaN where the p-value is NaN.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979) 65-70.
    """
    known = [index for index, p in enumerate(p_values) if not math.isnan(p)]
    adjusted = [math.nan] * len(p_values)
    worst = 0.0
    for rank, index in enumerate(sorted(known, key=p_values.__getitem__)):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = worst
    return tuple(adjusted)


def _medians(values: Values, owners: Int[np.ndarray, "n"]) -> Float[np.ndarray, "u"]:
    """The median of each owner's values; the midpoint of -inf and +inf is 0 (neither is better).

    Args:
        values: at least one of each owner.
        owners: index of each value's owner, from 0.
    """
    ordered = values[np.lexsort((values, owners))]
    sizes = np.bincount(owners)
    starts = np.cumsum(sizes) - sizes
    low, high = ordered[starts + (sizes - 1) // 2], ordered[starts + sizes // 2]
    undecided = np.isneginf(low) & np.isposinf(high)
    middle: Float[np.ndarray, "u"] = np.add(low, high, out=np.zeros_like(low), where=~undecided) / 2
    return middle


def _median(values: Values) -> float:
    return float(_medians(values, np.zeros(values.size, dtype=np.int64))[0])
