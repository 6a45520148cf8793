"""The records of `summary.tsv` and `comparison.tsv`; their fields are the tables' columns."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from tenter.metrics.definitions import Metric, definition

ALL = "all"
"""The fold that stands for all out-of-fold pairs, or for the ensemble of tested ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Summary of a sample; None for what is unknown, +inf next to what could not be measured.

    Attributes:
        mean: arithmetic mean.
        median: quantile 0.5.
        q1: quantile 0.25.
        q3: quantile 0.75.
        p10: quantile 0.1.
        p90: quantile 0.9.
        low: lower bound of the median's 95 % confidence interval.
        high: upper bound.
    """

    mean: float | None = None
    median: float | None = None
    q1: float | None = None
    q3: float | None = None
    p10: float | None = None
    p90: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryLine:
    """A metric's distribution for a model, set, fold, role and label.

    Attributes:
        model: the model's name.
        set: `cv` or `test`.
        fold: a fold, or `all`.
        role: as in `records.MetricRow`, like metric and unit.
        label: the label's name; empty for all labels of the role.
        metric: the metric.
        unit: its unit.
        n: number of values.
        pairs: number of pairs.
        patients: number of patients.
        vanished: values that count as worst after registration.
        empty_before: values that count as worst before registration.
        absent: labels that only one side has.
        before: with the alignment alone.
        after: after registration.
        worse_pairs: pairs that registration made worse; None where undefined, like their share.
        worse_rate: their share.
        worse_low: lower bound of the share's 95 % confidence interval.
        worse_high: upper bound.
    """

    model: str
    set: str
    fold: str
    role: str
    label: str
    metric: str
    unit: str
    n: int
    pairs: int
    patients: int
    vanished: int
    empty_before: int
    absent: int
    before: Distribution
    after: Distribution
    worse_pairs: int | None = None
    worse_rate: float | None = None
    worse_low: float | None = None
    worse_high: float | None = None

    @property
    def definition(self) -> Metric:
        """The definition of the metric."""
        return definition(self.metric, self.unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonLine:
    """A model against the reference, by one metric over all labels of a role.

    Attributes:
        set: `cv` or `test`.
        role: as in `records.MetricRow`, like metric and unit.
        metric: the metric.
        unit: its unit.
        model: the model's name.
        reference: the name of the reference.
        pairs: pairs that both models measured.
        patients: their patients.
        test_unit: what counts once in the test: `patient`, or `pair of patients`.
        units: how many of them there are.
        reference_median: median over units with the reference.
        model_median: median over units with the model.
        difference: model minus reference, median over units of paired differences.
        low: lower bound of the difference's 95 % interval; None for too few units.
        high: upper bound.
        higher: units in which the difference is positive.
        lower: units in which it is negative.
        p: of the signed-rank test; None for too few units.
        p_holm: p corrected for the number of primary comparisons; None for other metrics.
    """

    set: str
    role: str
    metric: str
    unit: str
    model: str
    reference: str
    pairs: int
    patients: int
    test_unit: str
    units: int
    reference_median: float | None
    model_median: float | None
    difference: float | None
    low: float | None
    high: float | None
    higher: int
    lower: int
    p: float | None
    p_holm: float | None = None

    @property
    def definition(self) -> Metric:
        """The definition of the metric."""
        return definition(self.metric, self.unit)


def known(value: float) -> float | None:
    """The value, or None for NaN."""
    return None if math.isnan(value) else value


def pick(lines: Iterable[SummaryLine], **criteria: str) -> SummaryLine | None:
    """The first line with these values, by default over all folds and labels; None if none has."""
    criteria = {"fold": ALL, "label": "", **criteria}
    return next(
        (line for line in lines if all(getattr(line, k) == v for k, v in criteria.items())), None
    )
