"""What the files of a finished study hold, read for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tenter import files, typed_tables
from tenter.cases import plans
from tenter.history import read_history
from tenter.measurement import metric_tables
from tenter.metrics.definitions import STRICT, definition
from tenter.records import MetricRow, Plan
from tenter.reporting import costs
from tenter.reporting.costs import ModelCosts
from tenter.reporting.histories import Rows
from tenter.reporting.results import Group, groups
from tenter.result_files import ResultFiles
from tenter.statistics.challenge_scores import Aggregate
from tenter.statistics.lines import ComparisonLine, SummaryLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The results of a study.

    Attributes:
        models: names of the models with figures, in the order of the configuration.
        rows: strict metrics of every pair.
        groups: the same rows by model, set, role and metric.
        lines: of `summary.tsv`.
        contrasts: of `comparison.tsv`.
        aggregates: of `challenges.tsv`.
        plan: the cohort's plan.
        folds: patient to fold; None if a finished model was applied.
        costs: what registration cost, by set and model.
        histories: rows of each training's history, by model and fold.
        validation_pairs: number of validation pairs, by model and fold, where known.
    """

    models: tuple[str, ...]
    rows: tuple[MetricRow, ...]
    groups: tuple[Group, ...]
    lines: tuple[SummaryLine, ...]
    contrasts: tuple[ComparisonLine, ...]
    aggregates: tuple[Aggregate, ...]
    plan: Plan
    folds: Mapping[str, str] | None
    costs: tuple[ModelCosts, ...]
    histories: Mapping[str, Mapping[str, Rows]]
    validation_pairs: Mapping[str, Mapping[str, int]]

    @property
    def applied(self) -> bool:
        """Whether a finished model was applied, so that nothing was trained."""
        return self.folds is None


def read(paths: ResultFiles, models: Sequence[str]) -> Tables:
    """Read the results of a study.

    Args:
        paths: its files.
        models: models of the configuration; those without any figure are left out.

    Raises:
        DataError: a table is damaged, or holds no figure of any of these models.
    """
    rows = strict_rows(paths)
    measured = {row.model for row in rows}
    names = tuple(model for model in models if model in measured)
    if rows and not names:
        raise files.damaged(paths.metrics, f"holds no figure of the models {', '.join(models)}")
    return Tables(
        models=names,
        rows=rows,
        groups=groups(rows, names),
        lines=typed_tables.read(paths.summary, SummaryLine),
        contrasts=typed_tables.read(paths.comparison, ComparisonLine),
        aggregates=typed_tables.read(paths.challenges, Aggregate),
        plan=plans.read_plan(paths.plan),
        folds=_folds(paths),
        costs=costs.read(rows, paths, names),
        histories=_histories(paths, names),
        validation_pairs=_validation_pairs(paths, names),
    )


def strict_rows(paths: ResultFiles, model: str | None = None) -> tuple[MetricRow, ...]:
    """Strict metrics of every pair, of all models or of one; challenge metrics are left out."""
    return tuple(
        row
        for row in metric_tables.read(paths.metrics)
        if model in {None, row.model} and definition(row.metric).family == STRICT
    )


def _folds(paths: ResultFiles) -> dict[str, str] | None:
    if paths.folds is None:
        return None
    rows = files.read_table(paths.folds, ("patient", "fold"))
    return {cells["patient"]: cells["fold"] for _, cells in rows}


def _histories(paths: ResultFiles, models: Sequence[str]) -> dict[str, dict[str, Rows]]:
    by_model: dict[str, dict[str, Rows]] = {
        model: {fold: read_history(path) for fold, path in paths.histories(model).items()}
        for model in models
    }
    return {model: by_fold for model, by_fold in by_model.items() if by_fold}


def _validation_pairs(paths: ResultFiles, models: Sequence[str]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for model in models:
        for fold, path in paths.descriptions(model).items():
            pairs = files.read_object(path, {}).get("validated_on")
            if pairs is not None:
                counts.setdefault(model, {})[fold] = len(pairs)
    return counts
