"""From the metric rows of a study to the lines of `comparison.tsv`: models against a reference."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tenter.errors import DataError
from tenter.measurement.metric_tables import counted
from tenter.metrics.definitions import PRIMARY
from tenter.records import Fault, MetricRow
from tenter.statistics.comparison import compare, holm
from tenter.statistics.grouping import frame, grouped, pooled
from tenter.statistics.lines import ComparisonLine, known
from tenter.statistics.samples import pair_count, patient_count

Outcome = tuple[str, str, str]
"""Role, metric and unit."""

Rows = Sequence[MetricRow]


def comparison_lines(rows: Rows, models: Sequence[str], reference: str) -> list[ComparisonLine]:
    """Compare each model with the reference, for all labels of a role together.

    P-values of the primary outcomes are corrected within each set of pairs, for the number of
    models and of primary outcomes, whichever other metrics were measured.

    Args:
        rows: of one family, in canonical order.
        models: names of all models, in the order of the lines.
        reference: name of the reference.

    Raises:
        DataError: the reference has no rows, but other models have.
    """
    if rows and not any(row.model == reference for row in rows):
        message = f"the reference model {reference!r} has no figures"
        raise DataError(Fault("summary.reference", message, "name a model of this study"))
    counting = [row for row in rows if counted(row) != (None, None)]
    groups = grouped(pooled(frame(counting)), ("set", "role", "metric", "unit", "model"))
    by_outcome: dict[str, dict[Outcome, dict[str, Rows]]] = {}
    for (kind, role, metric, unit, model), members in groups.items():
        outcomes = by_outcome.setdefault(kind, {})
        outcomes.setdefault((role, metric, unit), {})[model] = members
    return [
        line
        for kind, outcomes in by_outcome.items()
        for line in _corrected(list(_of_set(kind, outcomes, models, reference)))
    ]


def _of_set(
    kind: str,
    outcomes: Mapping[Outcome, Mapping[str, Rows]],
    models: Sequence[str],
    reference: str,
) -> Iterator[ComparisonLine]:
    for (role, metric, unit), by_model in outcomes.items():
        for model in sorted(by_model.keys() - {reference}, key=models.index):
            matches = _matched(by_model[model], by_model.get(reference, ()))
            if not matches:
                continue
            rows = [match.row for match in matches]
            of_two = any(len(row.patients) > 1 for row in by_model[model])
            result = compare(
                np.array([match.model for match in matches], dtype=np.float64),
                np.array([match.reference for match in matches], dtype=np.float64),
                [row.patients for row in rows],
            )
            yield ComparisonLine(
                set=kind,
                role=role,
                metric=metric,
                unit=unit,
                model=model,
                reference=reference,
                pairs=pair_count(rows),
                patients=patient_count(rows),
                test_unit="pair of patients" if of_two else "patient",
                units=result.units,
                reference_median=result.reference,
                model_median=result.model,
                difference=result.difference,
                low=known(result.low),
                high=known(result.high),
                higher=result.higher,
                lower=result.lower,
                p=known(result.p),
            )


@dataclass(frozen=True, slots=True)
class _Match:
    """A label or point that both models measured: the model's row, and both values."""

    row: MetricRow
    model: float
    reference: float


def _matched(rows: Rows, reference: Rows) -> list[_Match]:
    values = {(row.pair, row.label): counted(row)[1] for row in reference}
    matches = []
    for row in rows:
        after, other = counted(row)[1], values.get((row.pair, row.label))
        if after is not None and other is not None:
            matches.append(_Match(row, after, other))
    return matches


def _corrected(lines: list[ComparisonLine]) -> list[ComparisonLine]:
    """Apply Holm's correction to the primary outcomes."""
    primary = [(line.role, line.metric) in PRIMARY for line in lines]
    family = itertools.compress(lines, primary)
    adjusted = iter(holm([math.nan if line.p is None else line.p for line in family]))
    return [
        replace(line, p_holm=known(next(adjusted))) if corrected else line
        for line, corrected in zip(lines, primary, strict=True)
    ]
