"""From the metric rows of a study to the lines of `summary.tsv`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tenter.measurement.metric_tables import ABSENT, EMPTY_BEFORE, VANISHED, counted
from tenter.metrics.definitions import definition
from tenter.records import MetricRow
from tenter.statistics.distribution import describe
from tenter.statistics.grouping import COLUMNS, frame, grouped, with_all_folds, with_all_labels
from tenter.statistics.intervals import rate_interval
from tenter.statistics.lines import ALL, Distribution, SummaryLine, known
from tenter.statistics.samples import (
    AFTER,
    BEFORE,
    pair_count,
    pair_means,
    patient_count,
    sample,
)

Absences = Mapping[tuple[str, ...], set[tuple[str, str]]]
"""Pair and label of what only one side has, by model, set, fold and role."""


def summary_lines(rows: Sequence[MetricRow], models: Sequence[str]) -> list[SummaryLine]:
    """Describe every metric, for each label and for all labels of a role, in each fold and in all.

    Args:
        rows: of one family, in canonical order.
        models: names of all models, in the order of the lines.
    """
    groups = grouped(with_all_labels(with_all_folds(frame(rows))))
    absences = _absences(rows)
    lines = [
        _line(dict(zip(COLUMNS, names, strict=True)), members, absences)
        for names, members in groups.items()
    ]
    return sorted(lines, key=lambda line: models.index(line.model))


def _absences(rows: Iterable[MetricRow]) -> Absences:
    notes = {ABSENT.format(side) for side in ("moving", "fixed")}
    absences: dict[tuple[str, ...], set[tuple[str, str]]] = {}
    for row in rows:
        if row.note in notes:
            for fold in (row.fold, ALL):
                key = (row.model, row.set, fold, row.role)
                absences.setdefault(key, set()).add((row.pair, row.label))
    return absences


def _line(
    names: Mapping[str, Any], members: Sequence[MetricRow], absences: Absences
) -> SummaryLine:
    rows = [row for row in members if counted(row) != (None, None)]
    missing = absences.get(tuple(names[name] for name in ("model", "set", "fold", "role")), set())
    label = names["label"]
    per_label = all(row.label for row in rows)
    return SummaryLine(
        **names,
        n=len(rows),
        pairs=pair_count(rows),
        patients=patient_count(rows),
        vanished=sum(VANISHED in row.note for row in rows),
        empty_before=sum(EMPTY_BEFORE in row.note for row in rows),
        absent=sum(label in {"", lacking} for _, lacking in missing) if per_label else 0,
        before=_distribution(rows, BEFORE),
        after=_distribution(rows, AFTER),
        **_worse(names["role"], names["metric"], rows),
    )


def _distribution(rows: Sequence[MetricRow], side: int) -> Distribution:
    values, patients = sample(rows, side)
    return describe(values, patients) if values.size else Distribution()


def _worse(role: str, name: str, rows: Sequence[MetricRow]) -> dict[str, Any]:
    """Number and share of pairs that registration made worse, and the interval of the share."""
    metric = definition(name)
    means = pair_means(rows)
    if role == "field" or metric.better == "neither" or not means:
        return {}
    patients = {row.pair: row.patients for row in rows}
    count = sum(metric.is_worse(after, before) for before, after in means.values())
    low, high = rate_interval(count, [patients[pair] for pair in means])
    return {
        "worse_pairs": count,
        "worse_rate": count / len(means),
        "worse_low": known(low),
        "worse_high": known(high),
    }
