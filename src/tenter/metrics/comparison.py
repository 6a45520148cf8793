"""One model against another on the same pairs, with the patient as the unit.

Several pairs of one patient are not several pieces of evidence: they are reduced to the
patient's median before anything is tested.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata, wilcoxon

from tenter.metrics.summary import Patients, Values, median_interval, quantiles


@dataclass(frozen=True, slots=True)
class Comparison:
    """A model against the reference.

    Attributes:
        units: patients (or pairs of subjects) that both were measured on.
        reference: median over units with the reference.
        model: median over units with the model.
        difference: median over units of model less reference.
        low: lower bound of the difference's 95 % interval (bootstrap of patients).
        high: upper bound.
        higher: units in which the model's value is the higher one.
        lower: units in which it is the lower one.
        p: two-sided, Wilcoxon's signed-rank test over units.
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


def compare(
    model: Values, reference: Values, patients: Patients, *, resamples: int, random: np.random.Generator
) -> Comparison:
    """Compare two models that measured the same things.

    Args:
        model: at least one value; +inf for what could not be measured.
        reference: of the same pairs and labels, in the same order.
        patients: whom each value was measured on.
        resamples: of the bootstrap.
        random: its generator.
    """
    units = sorted(set(patients))
    place = {unit: index for index, unit in enumerate(units)}
    owner = np.array([place[group] for group in patients])
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], np.arange(1, len(units)))
    ours, theirs = (
        np.array([_median(values) for values in np.split(side[order], starts)]) for side in (model, reference)
    )
    gain = differences(ours, theirs)
    low, high = median_interval(gain, units, resamples, random)
    return Comparison(
        units=len(units),
        reference=_median(theirs),
        model=_median(ours),
        difference=_median(gain),
        low=low,
        high=high,
        higher=int(np.count_nonzero(gain > 0)),
        lower=int(np.count_nonzero(gain < 0)),
        p=signed_rank_p(gain),
    )


def differences(model: Values, reference: Values) -> Values:
    """Model less reference; two values that could not be measured are a tie."""
    tied = model == reference
    gain: Values = np.subtract(model, reference, out=np.zeros_like(model), where=~tied)
    return gain


def signed_rank_p(values: Values) -> float:
    """Two-sided p of Wilcoxon's signed-rank test that values lie symmetrically about zero.

    Zeros are left out; infinite values share the highest ranks. 1 if nothing is left.
    Source: Wilcoxon, Biometrics Bulletin 1 (1945) 80-83.
    """
    kept = values[values != 0]
    if not kept.size:
        return 1.0
    ranks = np.sign(kept) * rankdata(np.abs(kept))
    return float(wilcoxon(ranks).pvalue)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """P-values adjusted for their number, so that the chance of one false finding among all keeps its level.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979) 65-70.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [math.nan] * len(p_values)
    worst = 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = worst
    return tuple(adjusted)


def _median(values: Values) -> float:
    return float(quantiles(values, (0.5,))[0])
