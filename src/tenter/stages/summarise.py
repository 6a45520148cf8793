"""Collect all metrics of a study and summarise them by label, fold and model.

Patients are the sample: intervals hold for patients drawn at random, and models are compared by
one value per patient. Labels that vanished always count as worst.
"""

from __future__ import annotations

from pathlib import Path

from tenter import typed_tables
from tenter.config import SummariseSettings
from tenter.measurement import metric_tables
from tenter.metrics.definitions import STRICT, definition, including
from tenter.statistics.challenge_scores import Aggregate, aggregates
from tenter.statistics.contrasts import comparison_lines
from tenter.statistics.lines import ComparisonLine, SummaryLine
from tenter.statistics.summary import summary_lines


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
    models = list(dict.fromkeys([*settings.models, *sorted({row.model for row in rows})]))
    reference = settings.summary.reference or next(iter(models), "")
    with including(settings.custom_metrics):
        strict = [row for row in rows if definition(row.metric).family == STRICT]
        typed_tables.write(challenges, Aggregate, aggregates(rows, models))
        typed_tables.write(summary, SummaryLine, summary_lines(strict, models))
        lines = comparison_lines(strict, models, reference)
    typed_tables.write(comparison, ComparisonLine, lines)
