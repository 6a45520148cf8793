"""What the page says before its first section: whom it shows, the result, and cautions."""

from __future__ import annotations

from collections.abc import Sequence

from tenter.records import MetricRow
from tenter.reporting import headline, words
from tenter.reporting.sections import KINDS
from tenter.reporting.tables import Tables

OUT_OF_FOLD = (
    "Figures of cross-validated pairs are out-of-fold: each pair was registered by the "
    "network of the fold that its patient is in, which was not trained on that patient. "
    "They estimate the performance of such a network on new patients of the same kind, "
    "scanners and annotators; they are not a clinical validation."
)
SEEN_ELSEWHERE = (
    "Whether a network that was trained elsewhere has seen one of these patients is not known here."
)
UNMEASURED = "Without labels or points nothing on this page says how accurate the registration is."


def kinds(rows: Sequence[MetricRow]) -> list[str]:
    """The sets of pairs that were measured, in the order in which they are shown."""
    measured = {row.set for row in rows}
    return [kind for kind in KINDS if kind in measured]


def structure(rows: Sequence[MetricRow]) -> str:
    """The name of the only structure, else `structures`."""
    labels = {row.label for row in rows if row.role == "structure"}
    return labels.pop() if len(labels) == 1 else "structures"


def subtitle(study: str, rows: Sequence[MetricRow]) -> str:
    """The study's name and size."""
    patients = {patient for row in rows for patient in row.patients}
    pairs = words.count(len({row.pair for row in rows}), "image pair")
    models = words.count(len({row.model for row in rows}), "model")
    return f"Study {study}: {pairs}, {words.count(len(patients), 'patient')}, {models}"


def summary(tables: Tables, baselines: Sequence[str] = ()) -> tuple[str, ...]:
    """The first model in full for each set, then each other model in one line.

    Args:
        tables: results of the study.
        baselines: names among its models of methods without a network.
    """
    lines, contrasts, models = tables.lines, tables.contrasts, tables.models
    name, sets = structure(tables.rows), kinds(tables.rows)
    of_two = any(len(row.patients) > 1 for row in tables.rows)
    summaries = [
        headline.summary(
            lines,
            model,
            kind,
            name,
            of_two=of_two,
            applied=tables.applied,
            learned=model not in baselines,
        )
        for model in models[:1]
        for kind in sets
    ]
    comparisons = [
        headline.versus(lines, contrasts, model, kind, name)
        for kind in sets
        for model in models[1:]
    ]
    return (*summaries, *filter(None, comparisons))


def cautions(tables: Tables, baselines: Sequence[str] = ()) -> tuple[str, ...]:
    """What the figures do not prove.

    Args:
        tables: results of the study.
        baselines: names among its models of methods without a network.
    """
    learned = not set(tables.models) <= set(baselines)
    sets = kinds(tables.rows) if learned else []
    remarks = [OUT_OF_FOLD] if "cv" in sets else []
    if "test" in sets:
        context = (
            "A finished model was applied"
            if tables.applied
            else "Test pairs took no part in cross-validation"
        )
        remarks.append(f"{context}. {SEEN_ELSEWHERE}")
    if all(row.role == "field" for row in tables.rows):
        remarks.append(UNMEASURED)
    return tuple(remarks)
