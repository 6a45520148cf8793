"""Collect all metrics of a study and summarise them by label, fold and model.

Patients are the sample: intervals hold for patients drawn at random, and models are compared by
one value per patient. Labels that vanished always count as worst.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from tenter.config import SummariseSettings, Summary
from tenter.errors import DataError
from tenter.measurement import challenge_tables, metric_tables
from tenter.measurement.metric_tables import ABSENT, EMPTY_BEFORE, VANISHED, counted
from tenter.metrics.comparison import Comparison, compare, holm
from tenter.metrics.definitions import PRIMARY, STRICT, definition
from tenter.metrics.dependence import Patients, Values
from tenter.metrics.intervals import rate_interval
from tenter.metrics.summary import Distribution, describe
from tenter.records import Fault, MetricRow

ALL = "all"
ENSEMBLE = "ensemble"
FIGURES = ("mean", "median", "q1", "q3", "p10", "p90", "low", "high")
NOTHING = Distribution(*([math.nan] * len(FIGURES)))

KEYS = ("model", "set", "fold", "role", "label", "metric", "unit")
COUNTS = ("n", "pairs", "patients", "vanished", "empty_before", "absent")
WORSE = ("worse_pairs", "worse_rate", "worse_low", "worse_high")
SUMMARY = (
    *KEYS,
    *COUNTS,
    *(f"before_{name}" for name in FIGURES),
    *(f"after_{name}" for name in FIGURES),
    *WORSE,
)
"""Columns of summary.tsv.

`low` and `high` are the 95 % confidence interval of the median; empty if it cannot be computed.
"""

COMPARISON = (
    "set", "role", "metric", "unit", "model", "reference",
    "pairs", "patients", "test_unit", "units",
    "reference_median", "model_median", "difference", "low", "high",
    "higher", "lower", "p", "p_holm",
)  # fmt: skip
"""Columns of comparison.tsv.

`difference` is the median of the paired differences, model minus reference.
"""


@dataclass(frozen=True, slots=True, order=True)
class _Group:
    """The group of rows that a line of the summary covers; an empty label means all of the role."""

    model: str
    set: str
    fold: str
    role: str
    label: str
    metric: str
    unit: str


def summarise(
    *,
    metrics: tuple[Path, ...],
    settings: SummariseSettings,
    code: str,  # noqa: ARG001 - verified and recorded by the command line
    output: Path,
    summary: Path,
    comparison: Path,
    challenges: Path,
) -> None:
    """Collect tables of metrics; summarise each model, and compare it with the reference.

    The summary has a line for each label, and one with an empty label for all labels of a
    role; each for every fold, and for fold `all`: all out-of-fold pairs, or for test
    pairs the ensemble, if there is one. `worse_rate` is the share of pairs that
    registration made worse than the alignment alone (by the mean over the pair's labels):
    with role `structure` and metric `dice`, and with metric `rms_tre`, it is the failure rate.

    Models are compared for all labels of a role together, on the pairs and labels that both
    measured. Each patient's paired differences are reduced to their median first, so that
    several pairs of one patient count once; pairs of two subjects are units of their own,
    and p accounts for the subjects that they share. P-values of the primary outcomes
    (`metrics.definitions`) are corrected for the number of models and primary outcomes
    (Holm), within each set of pairs; other metrics are not corrected and do not affect this.

    Both tables cover the strict family only: metrics by the rules of challenges have a table of
    their own, where they are aggregated by these rules.

    Args:
        metrics: Tables written by `evaluate`.
        settings: The reference, and the models in order (JSON).
        code: Fingerprint of this stage's code.
        output: Table of all metrics to write.
        summary: Table of distributions to write.
        comparison: Table of models against the reference to write.
        challenges: Table of the cohort's results by the rules of challenges to write; only a
            header if no such family was measured.

    Raises:
        DataError: a table is damaged, two tables hold the same figure, or the reference has none.
    """
    rows = sorted(
        (row for path in metrics for row in metric_tables.read(path)), key=metric_tables.key
    )
    metric_tables.write(output, rows)
    order = _order(rows, settings.models)
    challenge_tables.write(challenges, rows, order)
    rows = [row for row in rows if definition(row.metric).family == STRICT]
    groups = _grouped(rows)
    absent = _absences(rows)
    lines = [_line(group, members, absent) for group, members in groups.items()]
    lines.sort(key=lambda line: (order.index(str(line[0])), *line[1:6]))
    metric_tables.table(summary, SUMMARY, lines)
    metric_tables.table(comparison, COMPARISON, _comparisons(groups, order, settings.summary))


def _order(rows: Iterable[MetricRow], models: Sequence[str]) -> list[str]:
    """Return the models in the order of the configuration, then any other that was measured."""
    return list(dict.fromkeys([*models, *sorted({row.model for row in rows})]))


def _grouped(rows: Sequence[MetricRow]) -> dict[_Group, list[MetricRow]]:
    """Group rows by the lines of the summary that they count in.

    Each row counts in its own fold and in `all`, for its own label and for all labels of its role.
    Points are many and differ from pair to pair, so single points have no line.
    """
    together = {(row.model, row.set) for row in rows if row.fold == ENSEMBLE}
    groups: dict[_Group, list[MetricRow]] = {}
    for row in rows:
        pooled = row.fold == ENSEMBLE or (row.model, row.set) not in together
        folds = (row.fold, ALL) if pooled else (row.fold,)
        labels = dict.fromkeys((row.label, "") if row.role != "points" else ("",))
        for fold, label in itertools.product(folds, labels):
            group = _Group(row.model, row.set, fold, row.role, label, row.metric, row.unit)
            members = groups.setdefault(group, [])
            if counted(row) != (None, None):
                members.append(row)
    return groups


def _absences(rows: Iterable[MetricRow]) -> dict[tuple[str, ...], set[tuple[str, str]]]:
    """Group labels that only one side has: (pair, label) by model, set, fold and role."""
    notes = {ABSENT.format(side) for side in ("moving", "fixed")}
    absences: dict[tuple[str, ...], set[tuple[str, str]]] = {}
    for row in rows:
        if row.note in notes:
            for fold in (row.fold, ALL):
                absences.setdefault((row.model, row.set, fold, row.role), set()).add(
                    (row.pair, row.label)
                )
    return absences


def _line(
    group: _Group,
    rows: Sequence[MetricRow],
    absences: dict[tuple[str, ...], set[tuple[str, str]]],
) -> tuple[object, ...]:
    missing = absences.get((group.model, group.set, group.fold, group.role), set())
    per_label = all(row.label for row in rows)
    counts = (
        len(rows),
        len({row.pair for row in rows}),
        len({name for row in rows for name in _patients(row)}),
        sum(VANISHED in row.note for row in rows),
        sum(EMPTY_BEFORE in row.note for row in rows),
        sum(label == group.label or not group.label for _, label in missing) if per_label else 0,
    )
    before, after = (_distribution(rows, side) for side in (0, 1))
    return (*astuple(group), *counts, *astuple(before), *astuple(after), *_worse(group, rows))


def _distribution(rows: Sequence[MetricRow], side: int) -> Distribution:
    values, patients = _values(rows, side)
    return describe(values, patients) if values.size else NOTHING


def _values(rows: Sequence[MetricRow], side: int) -> tuple[Values, Patients]:
    measured = [
        (value, _patients(row)) for row in rows if (value := counted(row)[side]) is not None
    ]
    return np.array([value for value, _ in measured], dtype=np.float64), [
        patients for _, patients in measured
    ]


def _patients(row: MetricRow) -> tuple[str, ...]:
    return tuple(row.patient.split("--"))


def _worse(group: _Group, rows: Sequence[MetricRow]) -> tuple[int | None, float, float, float]:
    """Return the number and share of pairs that registration made worse, and its interval."""
    metric = definition(group.metric)
    pairs: dict[str, list[tuple[float, float]]] = {}
    patients: dict[str, tuple[str, ...]] = {}
    for row in rows:
        before, after = counted(row)
        if before is not None and after is not None:
            pairs.setdefault(row.pair, []).append((before, after))
            patients[row.pair] = _patients(row)
    if group.role == "field" or metric.better == "neither" or not pairs:
        return None, math.nan, math.nan, math.nan
    means = (np.mean(figures, axis=0).tolist() for figures in pairs.values())
    count = sum(metric.is_worse(after, before) for before, after in means)
    return count, count / len(pairs), *rate_interval(count, list(patients.values()))


def _comparisons(
    groups: dict[_Group, list[MetricRow]], order: Sequence[str], settings: Summary
) -> Iterator[tuple[object, ...]]:
    """Yield the lines of comparison.tsv."""
    pooled = {
        group: rows
        for group, rows in sorted(groups.items())
        if group.fold == ALL and not group.label
    }
    reference = settings.reference or next(iter(order), "")
    if pooled and not any(group.model == reference for group in pooled):
        message = f"the reference model {reference!r} has no figures"
        raise DataError(Fault("summary.reference", message, "name a model of this study"))
    for kind in sorted({group.set for group in pooled}):
        of_set = {group: rows for group, rows in pooled.items() if group.set == kind}
        results = list(_compared(of_set, reference, order))
        adjusted = _adjusted({group: result.p for group, _, result in results})
        for group, rows, result in results:
            unit = (
                "pair of patients"
                if any("--" in row.patient for row in of_set[group])
                else "patient"
            )
            patients = {name for row in rows for name in _patients(row)}
            sample = (len({row.pair for row in rows}), len(patients), unit)
            names = (kind, group.role, group.metric, group.unit, group.model, reference)
            yield (*names, *sample, *astuple(result), adjusted.get(group))


def _adjusted(p_values: dict[_Group, float]) -> dict[_Group, float]:
    """Apply Holm's correction to the primary outcomes, whichever other metrics were measured."""
    primary = [group for group in p_values if (group.role, group.metric) in PRIMARY]
    return dict(zip(primary, holm([p_values[group] for group in primary]), strict=True))


def _compared(
    groups: dict[_Group, list[MetricRow]], reference: str, order: Sequence[str]
) -> Iterator[tuple[_Group, list[MetricRow], Comparison]]:
    ordered_groups = sorted(
        groups, key=lambda group: (group.role, group.metric, order.index(group.model))
    )
    reference_rows = {
        (group.role, group.metric): groups[group] for group in groups if group.model == reference
    }
    for group in ordered_groups:
        reference_by_key = {
            (row.pair, row.label): row for row in reference_rows.get((group.role, group.metric), ())
        }
        matches = [
            (row, reference_by_key[row.pair, row.label])
            for row in groups[group]
            if (row.pair, row.label) in reference_by_key
        ]
        compared = [(row, counted(row)[1], counted(match)[1]) for row, match in matches]
        complete = [(row, a, b) for row, a, b in compared if a is not None and b is not None]
        if group.model == reference or not complete:
            continue
        result = compare(
            np.array([value for _, value, _ in complete], dtype=np.float64),
            np.array([value for _, _, value in complete], dtype=np.float64),
            [_patients(row) for row, _, _ in complete],
        )
        yield group, [row for row, _, _ in complete], result
