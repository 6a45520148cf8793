"""The report's tables: figures by label and by fold, what failed, and what each metric means."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from tenter.metrics.definitions import (
    HEADLINE,
    STRICT,
    Metric,
    custom,
    definition,
    judging,
    of_family,
    order,
)
from tenter.records import MetricRow
from tenter.reporting import words
from tenter.reporting.page import Column, Table, limited
from tenter.reporting.results import Group, change, quantile, vanished, worse
from tenter.statistics.lines import Distribution, SummaryLine

MOST = 40
"""Number of rows after which a list refers to the file."""

_TEXT = False


def spread(figures: Distribution, meaning: Metric) -> str:
    """Median and quartiles as `0.87 (0.85-0.89)`; an infinite quartile reads `vanished`."""
    if figures.median is None:
        return words.NONE
    quartiles = words.span(figures.q1, figures.q3, meaning)
    return f"{words.number(figures.median, meaning, unit=False)} ({quartiles})"


def by_label(lines: Sequence[SummaryLine], caption: str, *, failures: bool) -> Table:
    """Median and quartiles of every label, before and after.

    Args:
        lines: of one model and set, over all folds, for one label each.
        caption: what the table shows.
        failures: whether to count vanished, absent and worse labels too.
    """
    metrics = sorted({line.metric for line in lines}, key=order)
    labels = sorted({(line.role != "structure", line.role, line.label) for line in lines})
    columns = [Column("Label", _TEXT), Column("kind", _TEXT), Column("n"), *_sides(metrics)]
    columns += [Column(title) for title in ("vanished", "absent", "worse") if failures]
    rows = []
    for _, role, label in labels:
        by_metric = {
            line.metric: line for line in lines if (line.role, line.label) == (role, label)
        }
        telling = by_metric.get(judging(role)) or next(iter(by_metric.values()))
        failed = _failures(telling) if failures else ()
        rows.append((label, role, str(telling.n), *_cells(metrics, by_metric), *failed))
    note = (
        "Median (quartiles) over n pairs that have the label on both sides; a vanished one counts "
        "as worst."
    )
    if failures:
        note += (
            " Absent: pairs with the label on one side only. Worse: pairs with a lower Dice "
            "(structures) or a larger TRE (landmarks) than before."
        )
    return limited(caption, columns, rows, most=MOST, where="summary.tsv", note=note)


def by_fold(lines: Sequence[SummaryLine], caption: str, note: str) -> Table:
    """Median and quartiles of every fold, before and after.

    Args:
        lines: of one model and set, all labels of a role together, for each fold.
        caption: what the table shows.
        note: what to know when reading it.
    """
    outcomes = [key for key in HEADLINE if any((line.role, line.metric) == key for line in lines)]
    metrics = [metric for _, metric in outcomes]
    columns = [Column("Fold", _TEXT), Column("pairs"), Column("patients"), *_sides(metrics)]
    columns += [Column("vanished")]
    rows = []
    for fold in sorted({line.fold for line in lines}, key=_fold_order):
        by_metric = {
            line.metric: line
            for line in lines
            if line.fold == fold and (line.role, line.metric) in outcomes
        }
        widest = max(by_metric.values(), key=lambda line: line.pairs)
        gone = sum(
            line.vanished for line in by_metric.values() if line.metric == judging(line.role)
        )
        rows.append(
            (fold, str(widest.pairs), str(widest.patients), *_cells(metrics, by_metric), str(gone))
        )
    return Table(caption, tuple(columns), tuple(rows), note)


def _fold_order(fold: str) -> tuple[bool, int, str]:
    return (not fold.isdigit(), int(fold) if fold.isdigit() else 0, fold)


def _sides(metrics: Sequence[str]) -> list[Column]:
    titles = [definition(metric).axis for metric in metrics]
    return [Column(side, group=title) for title in titles for side in ("before", "after")]


def _cells(metrics: Sequence[str], by_metric: Mapping[str, SummaryLine]) -> list[str]:
    nothing = [words.NONE, words.NONE]
    cells = []
    for metric in metrics:
        line = by_metric.get(metric)
        cells += (
            [spread(side, line.definition) for side in (line.before, line.after)]
            if line
            else nothing
        )
    return cells


def _failures(line: SummaryLine) -> tuple[str, str, str]:
    worse_pairs = words.NONE if line.worse_pairs is None else str(line.worse_pairs)
    return str(line.vanished), str(line.absent), worse_pairs


def lost(groups: Sequence[Group]) -> Table:
    """Every label that vanished, with the models that lost it."""
    models_by_label: dict[tuple[str, ...], list[str]] = {}
    for group in groups:
        for row in group.rows:
            if vanished(row) and row.label and judging(row.role) == row.metric:
                key = (
                    row.pair,
                    row.patient,
                    row.fold,
                    row.label,
                    words.number(row.before, group.definition),
                )
                models_by_label.setdefault(key, []).append(group.model)
    columns = [Column(title, _TEXT) for title in ("Pair", "patient", "fold", "label")]
    columns += [Column("before"), Column("models", _TEXT)]
    rows = [(*key, ", ".join(models)) for key, models in sorted(models_by_label.items())]
    note = "Before: the TRE of a landmark, or the Dice of a structure, with the alignment alone."
    return limited("Labels that vanished", columns, rows, most=MOST, where="metrics.tsv", note=note)


def worsened(groups: Sequence[Group]) -> Table:
    """Pairs that registration made worse by one of these figures, the worst first.

    Args:
        groups: figures by which a pair is judged.
    """
    losses = [
        (row, group) for group in groups for row in group.rows if worse(row) and not vanished(row)
    ]
    losses.sort(key=lambda loss: _relative(*loss))
    columns = [Column(title, _TEXT) for title in ("Pair", "patient", "fold", "model", "figure")]
    columns += [Column("before"), Column("after")]
    rows = [
        (
            row.pair,
            row.patient,
            row.fold,
            row.model,
            f"{row.label} {group.definition.title}".strip(),
            words.number(row.before, group.definition, unit=False),
            words.number(row.after, group.definition),
        )
        for row, group in losses
    ]
    note = "The largest losses first. Pairs in which a landmark vanished are in the other list."
    return limited("Pairs that got worse", columns, rows, most=MOST, where="metrics.tsv", note=note)


def _relative(row: MetricRow, group: Group) -> float:
    """Change in units of the group's own median, so that Dice and mm can be ranked together."""
    size = quantile(group.before(), 0.5) or 1.0
    return (change(row) or 0.0) / size


def unmeasured(rows: Sequence[MetricRow], keep: Callable[[MetricRow], bool]) -> Table:
    """Labels that could not be measured, with the reason that evaluation recorded."""
    entries = sorted({(row.pair, row.patient, row.label, row.note) for row in rows if keep(row)})
    columns = [Column(title, _TEXT) for title in ("Pair", "patient", "label", "why")]
    return limited(
        "Labels that were not measured", columns, entries, most=MOST, where="metrics.tsv"
    )


def meanings(metrics: Collection[str]) -> Table:
    """One line for each metric: what it is, in which unit, and which way is better."""
    columns = tuple(Column(title, _TEXT) for title in ("Metric", "unit", "better", "what it says"))
    rows = tuple(
        (metric.title, metric.symbol or "none", metric.better, metric.meaning)
        for metric in (*of_family(STRICT), *custom())
        if metric.name in metrics
    )
    return Table("Metrics", columns, rows)


_TERMS = (
    (
        "before",
        "The moving image placed by the alignment alone (headers, centres or a given transform).",
    ),
    ("after", "The moving image placed by the alignment and the network's displacement field."),
    (
        "out-of-fold",
        "Measured on a pair whose patient the network that registered it has never seen.",
    ),
    (
        "vanished",
        "Nothing of a label is left once it is warped: it has no centroid, and counts as worst.",
    ),
    (
        "worse pair",
        "A pair that the alignment alone had registered better, by the mean over its labels.",
    ),
    (
        "95\N{NO-BREAK SPACE}% interval",
        "Bounds of the median over such patients, with 95 % confidence; none for too few patients.",
    ),
)


def terms() -> Table:
    """Definitions of the terms used on this page."""
    return Table("Terms", (Column("Term", _TEXT), Column("what it means", _TEXT)), _TERMS)
