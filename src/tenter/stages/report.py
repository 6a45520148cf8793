"""Write the report: one self-contained HTML page with the results of a study."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from tenter import files, finished
from tenter import provenance as code_provenance
from tenter.cases import plans
from tenter.config import ReportSettings
from tenter.errors import DataError
from tenter.measurement import challenge_tables, metric_tables
from tenter.metrics.definitions import STRICT, definition
from tenter.records import MetricRow
from tenter.reporting import (
    costs,
    examples,
    headline,
    histories,
    origins,
    panels,
    sections,
    statistics,
    words,
)
from tenter.reporting.challenges import section as challenge_section
from tenter.reporting.page import Block, Figure, Page, Section, render
from tenter.reporting.results import Group, groups
from tenter.training.recorder import read_history

REREGISTER = (
    "delete the pair's folder and its chunk's table in fields/tables, and run the workflow again"
)

BEFORE_FIRST_JOB = "the workflow, before the first job"
"""Maker of the files that no command writes."""

TRANSFORM, SIDECAR = "transform.h5", "infer.json"


def report(  # noqa: PLR0913 - flags of a command
    *,
    metrics: Path,
    summary: Path,
    comparison: Path,
    challenges: Path,
    cases: Path,
    fields: Path,
    models: Path,
    plan: Path,
    folds: Path | None = None,
    provenance: Path | None = None,
    settings: ReportSettings,
    code: str,
    output: Path,
) -> None:
    """Write the report of a study: results, plots, pictures and their provenance.

    Pictures need the prepared case and the transform of the pairs that are shown; if one
    of them is missing, the page says so in place of the picture.

    Args:
        metrics: Table of all metrics.
        summary: Table of distributions.
        comparison: Table of models against the reference.
        challenges: Table of the cohort's results by the rules of challenges.
        cases: Folder of prepared cases.
        fields: Folder of transforms, by model.
        models: Folder of trained models.
        plan: Plan of the cohort.
        folds: Table of patients and folds; omitted if a finished model was applied.
        provenance: File of accepted code changes; default: the file that the environment
            variable TENTER_ACCEPTED names.
        settings: What the report shows (JSON).
        code: Fingerprint of this stage's code.
        output: HTML page to write.

    Raises:
        DataError: a table is damaged.
    """
    rows = [row for row in metric_tables.read(metrics) if definition(row.metric).family == STRICT]
    lines = statistics.read_summary(summary)
    contrasts = statistics.read_comparison(comparison)
    names = [model for model in settings.models if any(row.model == model for row in rows)]
    if rows and not names:
        raise files.damaged(metrics, f"holds no figure of the models {', '.join(settings.models)}")
    all_groups = groups(rows, names)
    trained = _histories(models, names)
    made_by = (
        (metrics, "tenter summarise"),
        (summary, "tenter summarise"),
        (comparison, "tenter summarise"),
        (plan, "tenter plan"),
        (folds, BEFORE_FIRST_JOB),
    )
    parts: list[Section | None] = [
        sections.cohort(rows, plans.read_plan(plan), _folds(folds), names),
        sections.comparison(lines, contrasts, names),
        costs.section(_costs(rows, fields), lines, names, dict(settings.options), sections.KINDS),
        sections.distributions(all_groups, names),
        _pictures(all_groups, settings, cases, fields),
        sections.details(lines, names),
        sections.failures(all_groups),
        sections.deformation(all_groups, names),
        challenge_section(challenge_tables.read(challenges)),
        sections.training(trained, _validated(models, names)),
        sections.definitions({row.metric for row in rows}),
        _origin(
            settings,
            code,
            provenance,
            models,
            _sources(output, made_by),
        ),
    ]
    kinds = _kinds(rows)
    page = Page(
        title=settings.report.title or settings.study,
        subtitle=_subtitle(settings, rows),
        summary=_summary(lines, contrasts, names, rows, applied=folds is None),
        cautions=(*_cautions(rows, kinds, applied=folds is None), *_learning(trained)),
        cards_of=f"Medians before and after, model {names[0]}" if names else "",
        cards=headline.cards(lines, names[0], kinds[0], _structure(rows)) if rows else (),
        sections=tuple(part for part in parts if part is not None),
        colophon=(
            "Written by tenter. All values are in metrics.tsv and summary.tsv beside this page."
        ),
    )
    files.write_text(output, render(page))


def _summary(
    lines: Sequence[statistics.Line],
    contrasts: Sequence[statistics.Contrast],
    names: Sequence[str],
    rows: Sequence[MetricRow],
    *,
    applied: bool,
) -> tuple[str, ...]:
    """Summarise the first model in full for each set, then each other model in one line."""
    structure, kinds = _structure(rows), _kinds(rows)
    of_two = any("--" in row.patient for row in rows)
    summaries = [
        headline.summary(lines, name, kind, structure, of_two=of_two, applied=applied)
        for name in names[:1]
        for kind in kinds
    ]
    comparisons = [
        headline.versus(lines, contrasts, name, kind, structure)
        for kind in kinds
        for name in names[1:]
    ]
    return (*summaries, *filter(None, comparisons))


def _kinds(rows: Sequence[MetricRow]) -> list[str]:
    return [kind for kind in sections.KINDS if any(row.set == kind for row in rows)]


def _costs(rows: Sequence[MetricRow], fields: Path) -> dict[tuple[str, str], list[costs.Cost]]:
    """Return the cost of each pair, by set and model, where its files record it."""
    pair_costs: dict[tuple[str, str], list[costs.Cost]] = {}
    for kind, model, pair in dict.fromkeys((row.set, row.model, row.pair) for row in rows):
        path = fields / model / pair / SIDECAR
        if path.is_file():
            pair_costs.setdefault((kind, model), []).append(
                costs.cost(files.read_object(path, {}, REREGISTER))
            )
    return pair_costs


def _folds(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    rows = files.read_table(path, ("patient", "fold"))
    return {cells["patient"]: cells["fold"] for _, cells in rows}


def _structure(rows: Sequence[MetricRow]) -> str:
    """Return the name of the only structure, else `structures`."""
    labels = {row.label for row in rows if row.role == "structure"}
    return labels.pop() if len(labels) == 1 else "structures"


def _subtitle(settings: ReportSettings, rows: Sequence[MetricRow]) -> str:
    patients = {patient for row in rows for patient in row.patient.split("--")}
    pairs = words.count(len({row.pair for row in rows}), "image pair")
    models = words.count(len({row.model for row in rows}), "model")
    return f"Study {settings.study}: {pairs}, {words.count(len(patients), 'patient')}, {models}"


def _cautions(rows: Sequence[MetricRow], kinds: Sequence[str], *, applied: bool) -> tuple[str, ...]:
    cautions = []
    if "cv" in kinds:
        cautions.append(
            "Figures of cross-validated pairs are out-of-fold: each pair was registered by the "
            "network of the fold that its patient is in, which was not trained on that patient. "
            "They estimate the performance of such a network on new patients of the same kind, "
            "scanners and annotators; they are not a clinical validation."
        )
    if "test" in kinds:
        context = (
            "A finished model was applied"
            if applied
            else "Test pairs took no part in cross-validation"
        )
        cautions.append(
            f"{context}. Whether a network that was trained elsewhere has seen one of these "
            "patients is not known here."
        )
    if all(row.role == "field" for row in rows):
        cautions.append(
            "Without labels or points nothing on this page says how accurate the registration is."
        )
    return tuple(cautions)


def _learning(trained: Mapping[str, Mapping[str, histories.Rows]]) -> tuple[str, ...]:
    return tuple(
        concern for model, folds in trained.items() for concern in histories.concerns(model, folds)
    )


def _validated(models: Path, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Count the validation pairs of each model and fold, where `model.json` lists them."""
    counts: dict[str, dict[str, int]] = {}
    for name in names:
        for path in sorted((models / name).glob(f"fold-*/{finished.DESCRIPTION}")):
            pairs = files.read_object(path, {}).get("validated_on")
            if pairs is not None:
                counts.setdefault(name, {})[path.parent.name.removeprefix("fold-")] = len(pairs)
    return counts


def _histories(
    models: Path, names: Sequence[str]
) -> dict[str, dict[str, Sequence[Mapping[str, float]]]]:
    by_model: dict[str, dict[str, Sequence[Mapping[str, float]]]] = {}
    for name in names:
        paths = sorted(
            (models / name).glob("fold-*/history.csv"),
            key=lambda path: (len(path.parent.name), path),
        )
        if paths:
            by_model[name] = {
                path.parent.name.removeprefix("fold-"): read_history(path) for path in paths
            }
    return by_model


def _pictures(
    all_groups: Sequence[Group], settings: ReportSettings, cases: Path, fields: Path
) -> Section | None:
    """Draw image panels of chosen pairs, for each model and set."""
    blocks = []
    combinations = (
        list(dict.fromkeys((group.set, group.model) for group in all_groups))
        if settings.report.examples
        else []
    )
    for kind, model in tqdm(combinations, desc="report: pictures", disable=None):
        model_groups = [group for group in all_groups if (group.set, group.model) == (kind, model)]
        for index, example in enumerate(examples.choose(model_groups, settings.report.examples)):
            name = f"{kind}-{settings.models.index(model)}-{index}"
            title = f"{example.title} of model {model}: {example.pair}"
            blocks.append(
                _picture(
                    example,
                    model_groups,
                    title,
                    name,
                    (cases / example.pair, fields / model / example.pair),
                )
            )
    text = (
        "Three planes (of slices, the plane of the slice) through the centre of the first "
        "structure, or of the grid. Orange, solid: labels of the fixed image. Blue, dashed: those "
        "of the moving image, with the alignment alone and registered. Last column: length of the "
        "displacement, and the fixed image's grid, mapped to the moving image."
    )
    if all(group.role == "field" for group in all_groups):
        text += (
            " Nothing was measured here: pairs are ordered by the roughness of their deformations, "
            "which says nothing about how well the images match."
        )
    return Section("examples", "Pairs in pictures", tuple(blocks), text) if blocks else None


def _picture(
    example: examples.Example,
    model_groups: Sequence[Group],
    title: str,
    name: str,
    folders: tuple[Path, Path],
) -> Block:
    figures = examples.caption(example, model_groups)
    caption = f"{example.origin}. {figures}."
    try:
        scene = examples.scene(folders[0], folders[1] / TRANSFORM)
    except (DataError, OSError):
        return Block(
            title,
            f"{caption} No picture: the prepared case or the transform of this pair is missing or "
            "damaged.",
        )
    slices = "Slices of fixed, aligned and registered image, and of the displacement"
    alt = f"{title}. {slices}. {figures}."
    note = "" if len(scene.fixed_labels) else " No contours: this case was prepared without labels."
    return Block(
        title,
        figures=(Figure(panels.panel(scene, alt, f"panel-{name}"), caption + note),),
        wide=True,
    )


def _sources(
    output: Path, made_by: Sequence[tuple[Path | None, str]]
) -> list[tuple[str, Path, str]]:
    """Return the name to show, the path and the maker of each source file."""
    root = output.parent
    return [(_display_path(path, root), path, maker) for path, maker in made_by if path is not None]


def _display_path(path: Path, root: Path) -> str:
    """Return a path relative to the results, or its name alone: never a path of this machine."""
    path, root = path.absolute(), root.absolute()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _origin(
    settings: ReportSettings,
    code: str,
    provenance: Path | None,
    models: Path,
    sources: Sequence[tuple[str, Path, str]],
) -> Section:
    accepted_path = os.environ.get(code_provenance.ACCEPTED)
    record = provenance or (Path(accepted_path) if accepted_path else None)
    digest = files.digest(settings.model_dump(mode="json"))
    tables = (
        origins.software(code, digest),
        origins.models(models, settings.models),
        origins.accepted(record),
        origins.made(sources),
    )
    return Section(
        "origin",
        "Where this comes from",
        (Block(tables=tuple(table for table in tables if table is not None)),),
    )
