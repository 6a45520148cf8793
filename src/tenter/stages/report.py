"""Write the report: one self-contained HTML page that says what a study came to."""

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
from tenter.metrics.families import STRICT, family
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

REREGISTER = "delete the pair's folder and its chunk's table in fields/tables, and run the workflow again"

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
    """Write the report of a study: figures, plots, pictures and where they come from.

    Pictures need the prepared case and the transform of the pairs that are shown; where one
    of them is gone the page says so in its place.

    Args:
        metrics: all figures in one table.
        summary: table of distributions.
        comparison: table of models against the reference.
        challenges: table of what the cohort comes to by the rules of challenges.
        cases: folder of prepared cases.
        fields: folder of transforms, by model.
        models: folder of trained models.
        plan: the cohort's plan.
        folds: table of patients and folds; none where a finished model was applied.
        provenance: file of accepted changes of code; default: the one that the environment
            variable TENTER_ACCEPTED names.
        settings: what is shown.
        code: fingerprint of the stage's code.
        output: the page to write.

    Raises:
        DataError: a table is damaged.
    """
    rows = [row for row in metric_tables.read(metrics) if family(row.metric) == STRICT]
    lines = statistics.read_summary(summary)
    contrasts = statistics.read_comparison(comparison)
    names = [model for model in settings.models if any(row.model == model for row in rows)]
    if rows and not names:
        raise files.damaged(metrics, f"holds no figure of the models {', '.join(settings.models)}")
    found = groups(rows, names)
    trained = _histories(models, names)
    parts: list[Section | None] = [
        sections.cohort(rows, plans.read_plan(plan), _folds(folds), names),
        sections.comparison(lines, contrasts, names),
        costs.section(_costs(rows, fields), lines, names, dict(settings.options), sections.KINDS),
        sections.distributions(found, names),
        _pictures(found, settings, cases, fields),
        sections.details(lines, names),
        sections.failures(found),
        sections.deformation(found, names),
        challenge_section(challenge_tables.read(challenges)),
        sections.training(trained, _validated(models, names)),
        sections.definitions({row.metric for row in rows}),
        _origin(
            settings, code, provenance, models, _sources(output, metrics, summary, comparison, plan, folds)
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
        colophon="Written by tenter. Every figure stands in metrics.tsv and summary.tsv beside this page.",
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
    """The first model in full for each set, then a line for each other model."""
    structure, kinds = _structure(rows), _kinds(rows)
    of_two = any("--" in row.patient for row in rows)
    said = [
        headline.summary(lines, name, kind, structure, of_two=of_two, applied=applied)
        for name in names[:1]
        for kind in kinds
    ]
    more = [headline.versus(lines, contrasts, name, kind, structure) for kind in kinds for name in names[1:]]
    return (*said, *filter(None, more))


def _kinds(rows: Sequence[MetricRow]) -> list[str]:
    return [kind for kind in sections.KINDS if any(row.set == kind for row in rows)]


def _costs(rows: Sequence[MetricRow], fields: Path) -> dict[tuple[str, str], list[costs.Cost]]:
    """What each pair took, by set and model, as far as its files say."""
    found: dict[tuple[str, str], list[costs.Cost]] = {}
    for kind, model, pair in dict.fromkeys((row.set, row.model, row.pair) for row in rows):
        path = fields / model / pair / SIDECAR
        if path.is_file():
            found.setdefault((kind, model), []).append(costs.cost(files.read_object(path, {}, REREGISTER)))
    return found


def _folds(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    rows = files.read_table(path, ("patient", "fold"))
    return {cells["patient"]: cells["fold"] for _, cells in rows}


def _structure(rows: Sequence[MetricRow]) -> str:
    """The name of the only structure, else `structures`."""
    found = {row.label for row in rows if row.role == "structure"}
    return found.pop() if len(found) == 1 else "structures"


def _subtitle(settings: ReportSettings, rows: Sequence[MetricRow]) -> str:
    patients = {patient for row in rows for patient in row.patient.split("--")}
    pairs = words.count(len({row.pair for row in rows}), "image pair")
    models = words.count(len({row.model for row in rows}), "model")
    return f"Study {settings.study}: {pairs}, {words.count(len(patients), 'patient')}, {models}"


def _cautions(rows: Sequence[MetricRow], kinds: Sequence[str], *, applied: bool) -> tuple[str, ...]:
    said = []
    if "cv" in kinds:
        said.append(
            "Figures of cross-validated pairs are out-of-fold: each pair was registered by the network of "
            "the fold that its patient is in, which never learnt from that patient. They estimate how such a "
            "network does on new patients of the same kind, scanners and annotators; they are no clinical "
            "validation."
        )
    if "test" in kinds:
        where = "A finished model was applied" if applied else "Test pairs took no part in cross-validation"
        said.append(
            f"{where}. Whether a network that was trained elsewhere has seen one of these patients is not "
            "known here."
        )
    if all(row.role == "field" for row in rows):
        said.append("Without labels or points nothing on this page says how accurate the registration is.")
    return tuple(said)


def _learning(trained: Mapping[str, Mapping[str, histories.Rows]]) -> tuple[str, ...]:
    return tuple(said for model, folds in trained.items() for said in histories.concerns(model, folds))


def _validated(models: Path, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Number of validation pairs of each model and fold, as far as their descriptions say."""
    found: dict[str, dict[str, int]] = {}
    for name in names:
        for path in sorted((models / name).glob(f"fold-*/{finished.DESCRIPTION}")):
            pairs = files.read_object(path, {}).get("validated_on")
            if pairs is not None:
                found.setdefault(name, {})[path.parent.name.removeprefix("fold-")] = len(pairs)
    return found


def _histories(models: Path, names: Sequence[str]) -> dict[str, dict[str, Sequence[Mapping[str, float]]]]:
    found: dict[str, dict[str, Sequence[Mapping[str, float]]]] = {}
    for name in names:
        paths = sorted(
            (models / name).glob("fold-*/history.csv"), key=lambda path: (len(path.parent.name), path)
        )
        if paths:
            found[name] = {path.parent.name.removeprefix("fold-"): read_history(path) for path in paths}
    return found


def _pictures(found: Sequence[Group], settings: ReportSettings, cases: Path, fields: Path) -> Section | None:
    """Image panels of chosen pairs, for each model and set."""
    blocks = []
    wanted = (
        list(dict.fromkeys((group.set, group.model) for group in found)) if settings.report.examples else []
    )
    for kind, model in tqdm(wanted, desc="report: pictures", disable=None):
        own = [group for group in found if (group.set, group.model) == (kind, model)]
        for place, example in enumerate(examples.choose(own, settings.report.examples)):
            name = f"{kind}-{settings.models.index(model)}-{place}"
            title = f"{example.title} of model {model}: {example.pair}"
            blocks.append(
                _picture(example, own, title, name, (cases / example.pair, fields / model / example.pair))
            )
    text = (
        "Three planes (of slices theirs) through the centre of the first structure, or of the grid. Orange, "
        "solid: labels of the fixed image. Blue, dashed: those of the moving image, with the alignment alone "
        "and registered. Last column: length of the displacement, and the fixed image's grid where the map "
        "takes it in the moving image."
    )
    if all(group.role == "field" for group in found):
        text += (
            " Nothing was measured here: the order is that of how rough the deformations are, which says "
            "nothing of how well the images match."
        )
    return Section("examples", "Pairs in pictures", tuple(blocks), text) if blocks else None


def _picture(
    example: examples.Example, own: Sequence[Group], title: str, name: str, folders: tuple[Path, Path]
) -> Block:
    figures = examples.caption(example, own)
    said = f"{example.origin}. {figures}."
    try:
        scene = examples.scene(folders[0], folders[1] / TRANSFORM)
    except (DataError, OSError):
        return Block(
            title,
            f"{said} No picture: the prepared case or the transform of this pair is missing or damaged.",
        )
    alt = f"{title}. Slices of fixed, aligned and registered image, and of the displacement. {figures}."
    without = "" if len(scene.fixed_labels) else " No contours: this case was prepared without labels."
    return Block(
        title, figures=(Figure(panels.panel(scene, alt, f"panel-{name}"), said + without),), wide=True
    )


def _sources(output: Path, *paths: Path | None) -> list[tuple[str, Path, str]]:
    commands = ("tenter summarise", "tenter summarise", "tenter summarise", "tenter plan", "tenter split")
    known = [(path, command) for path, command in zip(paths, commands, strict=True) if path is not None]
    return [(_shown(path, output.parent), path, command) for path, command in known]


def _shown(path: Path, root: Path) -> str:
    """A path below the results, or its name alone: never a path of this machine."""
    path, root = path.absolute(), root.absolute()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _origin(
    settings: ReportSettings,
    code: str,
    provenance: Path | None,
    models: Path,
    sources: Sequence[tuple[str, Path, str]],
) -> Section:
    named = os.environ.get(code_provenance.ACCEPTED)
    record = provenance or (Path(named) if named else None)
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
