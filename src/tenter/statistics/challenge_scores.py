"""Challenge scores of a cohort: `challenges.tsv`, aggregated from the rows of `metrics.tsv`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from tenter.measurement import metric_tables
from tenter.metrics.definitions import LEARN2REG, MUREGPRO, definition, of_family
from tenter.records import MetricRow
from tenter.statistics import learn2reg_cohort, muregpro_cohort
from tenter.statistics.grouping import frame, grouped, with_all_folds

WHOLE = "whole numbers"
"""Arithmetic of µ-RegPro's code with the TensorFlow version of its time."""

Rows = Sequence[MetricRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """A line of the table.

    Attributes:
        model: the model's name.
        set: `cv` or `test`.
        fold: a fold, or `all`: all out-of-fold pairs, or the ensemble of tested ones.
        family: `learn2reg` or `muregpro`.
        metric: the challenge's own name of the metric.
        unit: `1`, `mm` or `voxel`.
        aggregate: `mean`, `std` or `30` of Learn2Reg; `cohort` of µ-RegPro, whose measures of a
            cohort have names of their own.
        arithmetic: `whole numbers` if means are truncated; else empty.
        cases: number of pairs.
        before: with the alignment alone.
        after: with the network's field.
        unregistered: the divisor of µ-RegPro; None for undivided values.
    """

    model: str
    set: str
    fold: str
    family: str
    metric: str
    unit: str
    aggregate: str
    arithmetic: str
    cases: int
    before: float | None
    after: float | None
    unregistered: float | None = None


@dataclass(frozen=True, slots=True)
class _Result:
    """The values of a line, without its model, set, fold and family."""

    metric: str
    unit: str
    aggregate: str
    cases: int
    before: float
    after: float
    unregistered: float | None = None
    arithmetic: str = ""


def aggregates(rows: Rows, models: Sequence[str]) -> list[Aggregate]:
    """Scores of each model, for every fold and for all pairs together.

    Args:
        rows: all metric rows of the study; only those of challenges count.
        models: names of all models, in the order of the lines.
    """
    return sorted(_aggregates(rows), key=lambda line: models.index(line.model))


def _aggregates(rows: Rows) -> Iterator[Aggregate]:
    groups = grouped(with_all_folds(frame(rows)), ("model", "set", "fold"))
    for (model, kind, fold), members in groups.items():
        for name, aggregated in ((LEARN2REG, _learn2reg), (MUREGPRO, _muregpro)):
            family_rows = [row for row in members if definition(row.metric).family == name]
            for line in aggregated(family_rows):
                yield Aggregate(model=model, set=kind, fold=fold, family=name, **asdict(line))


def _learn2reg(rows: Rows) -> Iterator[_Result]:
    for metric in of_family(LEARN2REG):
        metric_rows = [row for row in rows if row.metric == metric.name]
        cases = _cases(metric_rows)
        if not cases:
            continue
        sides = [
            learn2reg_cohort.aggregate(metric.name, [_mean(pair, side) for pair in cases])
            for side in (0, 1)
        ]
        name = metric.name.removeprefix(f"{LEARN2REG}_")
        for aggregate, before, after in zip(learn2reg_cohort.AGGREGATES, *sides, strict=True):
            yield _Result(name, metric.unit, aggregate, len(cases), before, after)


def _cases(rows: Rows) -> list[list[MetricRow]]:
    pairs: dict[str, list[MetricRow]] = {}
    for row in rows:
        pairs.setdefault(row.pair, []).append(row)
    return list(pairs.values())


def _mean(rows: Rows, side: int) -> float:
    """Mean over the labels or points of a pair that could be measured; NaN if there are none."""
    values = [value for row in rows if (value := metric_tables.counted(row)[side]) is not None]
    return float(np.mean(values)) if values else math.nan


def _muregpro(rows: Rows) -> Iterator[_Result]:
    pairs = sorted({row.pair for row in rows})
    if not pairs:
        return
    dice = [_first_dice(rows, pairs, side) for side in (0, 1)]
    for metric, measure in (("dsc", np.mean), ("rdsc", muregpro_cohort.robust_dice)):
        before, after = (float(measure(values)) for values in dice)
        yield _Result(metric, "1", "cohort", len(pairs), before, after)
    states = [
        _errors(rows, pairs, prefix, side)
        for prefix, side in (("", 0), ("", 1), ("unregistered_", 0))
    ]
    for arithmetic in ("", WHOLE):
        *sides, unit = (state.aggregates(whole=arithmetic == WHOLE) for state in states)
        for metric in muregpro_cohort.CUT if arithmetic else muregpro_cohort.DIVIDED:
            figures = sides[0][metric], sides[1][metric], unit[metric]
            yield _Result(metric, "voxel", "cohort", len(pairs), *figures, arithmetic)
        scores = [
            muregpro_cohort.score(*measures, unit) for measures in zip(dice, sides, strict=True)
        ]
        yield _Result("score", "1", "cohort", len(pairs), scores[0], scores[1], None, arithmetic)


def _first_dice(rows: Rows, pairs: Sequence[str], side: int) -> list[float]:
    """Dice of the first label for each pair; 0 if neither side has it."""
    dice = {
        row.pair: (row.before, row.after)[side] for row in rows if row.metric == "muregpro_dice"
    }
    return [dice.get(pair) or 0.0 for pair in pairs]


def _errors(rows: Rows, pairs: Sequence[str], prefix: str, side: int) -> muregpro_cohort.Cohort:
    """Errors by pair and label; 0 if neither side of a pair has a label that other pairs have."""
    labels = sorted({row.label for row in rows})
    errors = {}
    for name in ("tre", "hd95"):
        metric_rows = [row for row in rows if row.metric == f"muregpro_{prefix}{name}"]
        known = {(row.pair, row.label): (row.before, row.after)[side] for row in metric_rows}
        table = [[known.get((pair, label)) or 0.0 for label in labels] for pair in pairs]
        errors[name] = np.array(table, dtype=np.float64)
    return muregpro_cohort.Cohort(**errors)
