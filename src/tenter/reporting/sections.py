"""The sections of the page, each built from its figures; reads no files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from tenter.metrics.definitions import (
    HEADLINE,
    LABELS,
    METRICS,
    STRICT,
    custom,
    definition,
    of_family,
)
from tenter.records import MetricRow, Plan
from tenter.reporting import headline, histories, listings, plots, words
from tenter.reporting.page import Block, Column, Figure, Section, Table, limited
from tenter.reporting.results import Group, find, vanished, worse
from tenter.statistics.lines import ALL, ComparisonLine, SummaryLine

KINDS = {"cv": "Cross-validated pairs", "test": "Test pairs"}
"""Sets of pairs, in the order in which they are shown."""

_DISTRIBUTIONS = (
    *HEADLINE,
    *(
        (metric.roles[0], metric.name)
        for metric in of_family(STRICT)
        if metric.of != "field" and metric.headline is None
    ),
)
"""Role and metric of each plot of values before and after."""

_JUDGING_PAIRS = {
    (metric.headline, metric.name)
    for metric in METRICS
    if metric.headline and metric.naming.worse_by
}
"""Role and metric of what decides whether a pair got worse."""

_OF = {"structure": " of structures", "landmark": " of landmarks", "points": ""}
_ALIGNMENTS = {
    "header": "as the headers place them",
    "centre": "volume centre on volume centre",
    "mass": "centre of mass on centre of mass",
    "file": "by a transform given for each pair",
}


def cohort(
    rows: Sequence[MetricRow], plan: Plan, folds: Mapping[str, str], models: Sequence[str]
) -> Section:
    """The registered cohort: pairs, patients, sets, folds, labels, plan.

    Args:
        rows: all figures.
        plan: the common grid and its rules.
        folds: patient to fold; empty if a finished model was applied.
        models: names of the models.
    """
    facts = [("Image pairs measured", _by_set(rows)), ("Patients", str(len(_patients(rows))))]
    if folds:
        facts.append(("Folds, split by patient", _fold_sizes(folds, rows)))
    shape = " \N{MULTIPLICATION SIGN} ".join(map(str, plan.shape))
    spacing = " \N{MULTIPLICATION SIGN} ".join(f"{size:.2f}" for size in plan.spacing_mm)
    facts += [
        ("Models", ", ".join(models)),
        ("Common grid", f"{shape} voxels of {spacing} mm (towards right, front, head)"),
        ("Alignment before any network", _ALIGNMENTS.get(plan.alignment, plan.alignment)),
        ("Intensities normalised by", plan.intensity),
    ]
    columns = (Column("What", numeric=False), Column("In this study", numeric=False))
    tables = [Table("The cohort and its plan", columns, tuple(facts))]
    counted = _labels(rows)
    if counted:
        tables.append(counted)
    return Section("cohort", "Cohort", (Block(tables=tuple(tables)),))


def _by_set(rows: Sequence[MetricRow]) -> str:
    counts = []
    for kind, heading in KINDS.items():
        count = len({row.pair for row in rows if row.set == kind})
        counts += [f"{count} {heading.split()[0].lower()}"] if count else []
    return ", ".join(counts)


def _patients(rows: Sequence[MetricRow]) -> set[str]:
    return {patient for row in rows for patient in row.patients}


def _fold_sizes(folds: Mapping[str, str], rows: Sequence[MetricRow]) -> str:
    names = sorted(set(folds.values()), key=lambda name: (len(name), name))
    sizes = []
    for name in names:
        pairs = len({row.pair for row in rows if row.set == "cv" and row.fold == name})
        patients = sum(fold == name for fold in folds.values())
        sizes.append(
            f"fold {name}: {words.count(patients, 'patient')}, {words.count(pairs, 'pair')}"
        )
    return "; ".join(sizes)


def _labels(rows: Sequence[MetricRow]) -> Table | None:
    seen: dict[tuple[str, str], set[str]] = {}
    absent: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        if row.label and row.role in {"structure", "landmark"}:
            target = absent if row.note.startswith("absent") else seen
            target.setdefault((row.role, row.label), set()).add(row.pair)
    keys = sorted(seen.keys() | absent.keys(), key=lambda key: (key[0] != "structure", key))
    lines = [
        (
            label,
            role,
            str(len(seen.get((role, label), ()))),
            str(len(absent.get((role, label), ()))),
        )
        for role, label in keys
    ]
    columns = [Column("Label", numeric=False), Column("kind", numeric=False)]
    columns += [Column("pairs with it on both sides"), Column("on one side only")]
    if not lines:
        return None
    return limited("Labels", columns, lines, most=listings.MOST, where="metrics.tsv")


def distributions(groups: Sequence[Group], models: Sequence[str]) -> Section | None:
    """Every figure before and after, one plot for each metric and model; None without labels."""
    blocks = []
    for kind in _kinds(groups):
        metric_blocks = []
        for role, metric in (*_DISTRIBUTIONS, *_custom_labels()):
            model_groups = [
                group for model in models if (group := find(groups, model, kind, metric, role))
            ]
            metric_blocks += (
                [_distribution(model_groups, kind, alone=len(models) == 1)] if model_groups else []
            )
        heading = KINDS[kind] if len(_kinds(groups)) > 1 else ""
        blocks += (
            _merged(metric_blocks, heading) if len(models) == 1 else _headed(metric_blocks, heading)
        )
    text = (
        "Each line is one label of one pair (RMS TRE: one pair), from the alignment alone to the "
        "registration. Blue circles: better or equal. Orange triangles: worse than before. Purple "
        "crosses: vanished, so that no distance can be measured; they stand on the dashed rail "
        "beyond the worst figure and count as worst. Boxes: quartiles around the median, whiskers "
        "to the 10th and 90th percentile."
    )
    return Section("distributions", "Before and after", tuple(blocks), text) if blocks else None


def _custom_labels() -> list[tuple[str, str]]:
    """Role and metric of custom metrics of labels."""
    names = [metric.name for metric in custom() if metric.of == "label"]
    return [(role, name) for name in names for role in LABELS]


def _kinds(groups: Sequence[Group]) -> list[str]:
    return [kind for kind in KINDS if any(group.set == kind for group in groups)]


def _merged(blocks: Sequence[Block], heading: str) -> list[Block]:
    """One block of all figures: the metrics of a single model stand side by side."""
    return (
        [Block(heading, figures=tuple(figure for block in blocks for figure in block.figures))]
        if blocks
        else []
    )


def _headed(blocks: Sequence[Block], heading: str) -> list[Block]:
    return [
        replace(block, title=f"{heading}: {block.title}" if heading else block.title)
        for block in blocks
    ]


def _distribution(groups: Sequence[Group], kind: str, *, alone: bool) -> Block:
    """One metric: a figure per model, on a common axis."""
    axis = plots.scale(groups)
    names = {row.label for group in groups for row in group.rows}
    suffix = (
        f" of the {names.pop()}"
        if len(names) == 1 and groups[0].role == "structure"
        else _OF[groups[0].role]
    )
    title = f"{groups[0].definition.title}{suffix if groups[0].definition.of != 'pair' else ''}"
    figures = []
    for index, group in enumerate(groups):
        name = f"change-{kind}-{group.role}-{group.metric}-{index}"
        lost, bad = group.count(vanished), group.count(lambda row: worse(row) and not vanished(row))
        measured = words.count(len(group.after()), "point")
        caption = f"{measured} of {words.count(group.pairs, 'pair')}; {bad} worse, {lost} vanished."
        figures.append(
            Figure(
                plots.before_after(group, axis, name),
                caption,
                title if alone else f"Model {group.model}",
            )
        )
    return Block(title, figures=tuple(figures))


def deformation(groups: Sequence[Group], models: Sequence[str]) -> Section | None:
    """How plausible the deformations are: folding, inverted volume and roughness of every pair."""
    blocks = []
    for kind in _kinds(groups):
        figures = []
        known = (*of_family(STRICT), *custom())
        for metric in (metric.name for metric in known if metric.of == "field"):
            model_groups = [
                group for model in models if (group := find(groups, model, kind, metric, "field"))
            ]
            if model_groups:
                drawing = plots.strips(model_groups, f"field-{kind}-{metric}")
                figures.append(
                    Figure(
                        drawing, model_groups[0].definition.meaning, model_groups[0].definition.axis
                    )
                )
        if figures:
            title = "" if len(_kinds(groups)) == 1 else KINDS[kind]
            blocks.append(Block(title, figures=tuple(figures)))
    text = "One point per pair, measured on the whole map from the fixed to the moving image."
    return (
        Section("deformation", "Plausibility of the deformations", tuple(blocks), text)
        if blocks
        else None
    )


def training(
    folds: Mapping[str, Mapping[str, histories.Rows]],
    validated: Mapping[str, Mapping[str, int]] | None = None,
) -> Section | None:
    """Curves of every fold's training, for each model; None if nothing was trained.

    Args:
        folds: for each model and fold the rows of its history.
        validated: for each model and fold the number of validation pairs, where known.
    """
    blocks = []
    for index, (model, fold_rows) in enumerate(folds.items()):
        curves = histories.panels(fold_rows)
        if curves:
            alt = histories.alternative(model, curves)
            drawn = Figure(plots.curves(curves, alt, f"training-{index}"), alt)
            notes = [
                *histories.warnings(model, fold_rows),
                *histories.validation((validated or {}).get(model, {})),
            ]
            blocks.append(Block(f"Model {model}", " ".join(notes), figures=(drawn,), wide=True))
    text = (
        "One line per fold. Validation patients belong to the fold's training part: they are "
        "measured during training, on the common grid, and are not the patients on whom the "
        "results are measured. Faint: single values; bold: their running mean."
    )
    return Section("training", "Training curves", tuple(blocks), text) if blocks else None


def details(lines: Sequence[SummaryLine], models: Sequence[str]) -> Section | None:
    """Tables by label and by fold."""
    several = len({line.set for line in lines}) > 1
    blocks = []
    for kind, heading in KINDS.items():
        for model in models:
            model_lines = [line for line in lines if line.model == model and line.set == kind]
            tables = [*_label_tables(model_lines), *_fold_tables(model_lines, kind)]
            if tables:
                title = f"Model {model}, {heading.lower()}" if several else f"Model {model}"
                blocks.append(Block(title, tables=tuple(tables)))
    return Section("details", "By label and by fold", tuple(blocks)) if blocks else None


def _label_tables(model_lines: Sequence[SummaryLine]) -> list[Table]:
    tables = []
    pooled = [line for line in model_lines if line.fold == ALL and line.label]
    for caption, surface in (("By label", False), ("Surfaces", True)):
        lines = [line for line in pooled if definition(line.metric).surface == surface]
        if lines:
            tables.append(listings.by_label(lines, caption, failures=caption == "By label"))
    return tables


def _fold_tables(model_lines: Sequence[SummaryLine], kind: str) -> list[Table]:
    lines = [line for line in model_lines if line.fold != ALL and not line.label]
    lines = [line for line in lines if (line.role, line.metric) in HEADLINE]
    if len({line.fold for line in lines}) < 2:
        return []
    notes = {
        "cv": "Median (quartiles) over pairs that the fold's network had never seen.",
        "test": "Median (quartiles) over test pairs, by each fold's network and by their ensemble.",
    }
    return [listings.by_fold(lines, "By fold", notes[kind])]


def comparison(
    lines: Sequence[SummaryLine], contrasts: Sequence[ComparisonLine], models: Sequence[str]
) -> Section | None:
    """Models side by side and against the reference; None if there is only one."""
    if len(models) < 2:
        return None
    several = len({line.set for line in lines}) > 1
    blocks = []
    for kind, heading in KINDS.items():
        side = headline.by_model([line for line in lines if line.set == kind], models, kind)
        set_contrasts = [contrast for contrast in contrasts if contrast.set == kind]
        tables = [
            *([side] if side.rows else []),
            *([headline.compared(set_contrasts)] if set_contrasts else []),
        ]
        if tables:
            blocks.append(Block(heading if several else "", tables=tuple(tables)))
    return Section("models", "Models compared", tuple(blocks)) if blocks else None


def failures(groups: Sequence[Group]) -> Section | None:
    """Labels that vanished, pairs that got worse, labels not measured; None without labels."""
    labelled = [group for group in groups if group.role != "field"]
    if not labelled:
        return None
    judged = [group for group in labelled if (group.role, group.metric) in _JUDGING_PAIRS]
    tables = [listings.worsened(judged), listings.lost(labelled)]
    rows = [row for group in labelled for row in group.rows]
    absent = listings.unmeasured(
        rows, lambda row: row.before is None and row.after is None and not vanished(row)
    )
    tables += [absent] if absent.rows else []
    empty = [table.caption for table in tables if not table.rows]
    text = "".join(f"{caption}: none. " for caption in empty).strip()
    blocks = (Block(tables=tuple(table for table in tables if table.rows), beside=True),)
    return Section("failures", "What failed", blocks, text)


def definitions(metrics: Collection[str]) -> Section:
    """Definitions of the metrics and terms of this page."""
    tables = (listings.meanings(metrics), listings.terms())
    return Section("definitions", "Definitions", (Block(tables=tables),))
