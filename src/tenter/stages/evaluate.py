"""Measure registered pairs on the original fixed grid, before and after, in mm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from tenter import files, pairwork, tables
from tenter.config import EvaluateSettings
from tenter.errors import DataError
from tenter.formats.transforms import read_transform
from tenter.manifest import pairs as manifest_pairs
from tenter.measurement import challenges, metric_tables
from tenter.measurement.metric_tables import ABSENT
from tenter.measurement.truth import LabelTruth, Truth, read_truth
from tenter.metrics import deformation, families, strict
from tenter.metrics.points import point_errors_mm, root_mean_square
from tenter.metrics.regions import Box, Region, same_grid
from tenter.metrics.survey import Survey, survey
from tenter.metrics.warped import Warper
from tenter.records import FileEntry, MetricRow, Pair
from tenter.registration import carried
from tenter.spatial import slices
from tenter.spatial.transform import Transform

TRANSFORM = "transform.h5"
ENSEMBLE = "ensemble"
TEST = "test"


@dataclass(frozen=True, slots=True)
class _Head:
    """What all rows of one pair and one transform share."""

    model: str
    fold: str
    set: str
    pair: Pair

    def row(
        self,
        metric: str,
        figures: tuple[float | None, float | None],
        *,
        label: str = "",
        role: str,
        note: str = "",
    ) -> MetricRow:
        return MetricRow(
            model=self.model,
            fold=self.fold,
            set=self.set,
            pair=self.pair.id,
            patient=self.pair.patient,
            label=label,
            role=role,
            metric=metric,
            unit=families.UNITS[metric],
            before=figures[0],
            after=figures[1],
            note=note,
        )


def evaluate(  # noqa: PLR0913 - its arguments are the command's flags
    *,
    manifest: Path,
    pairs: tuple[str, ...],
    fields: Path,
    transforms: Path,
    model: str,
    fold: str,
    settings: EvaluateSettings,
    code: str,  # noqa: ARG001 - verified and recorded by the command line
    output: Path,
    warped_labels: Path | None = None,
    mapped_points: Path | None = None,
) -> None:
    """Measure pairs, each before (alignment alone) and after registration.

    A pair without labels or points gets the figures of its field only. A label that
    vanished keeps its rows: its Dice is 0, its distances are absent with the note
    `vanished`, and summaries count them as worst. A label that only one side has gives one
    Dice row without figures that says so. Rows of challenges' families, where settings name
    them, follow these challenges' own rules for such labels.

    Args:
        manifest: table of pairs.
        pairs: ids of the pairs to measure.
        fields: table of the files that registration made for them.
        transforms: folder that this table describes.
        model: name of the model.
        fold: fold whose model registered them; or `test` for pairs that every fold's model
            registered: their main transform is measured as fold `ensemble`, and that of each
            member (`fold-<k>/`) as fold `<k>`. Members of several models (`<model>/fold-<k>/`)
            are not measured: they are where these models register.
        settings: how labels are read and measured.
        code: fingerprint of the stage's code.
        output: table of figures to write.
        warped_labels: folder for the warped labels, where settings ask for them.
        mapped_points: folder for tables of mapped points, likewise.

    Raises:
        DataError: naming every pair that could not be measured; no table is written then.
    """
    entries = _by_pair(tables.read(fields))
    threshold = settings.evaluation.threshold

    def measure(pair: Pair) -> list[MetricRow]:
        paths = _folds(pair, entries.get(pair.id, []), transforms, fold)
        truth = read_truth(pair, settings.labels, threshold)
        kind = TEST if fold == TEST else pair.set
        rows: list[MetricRow] = []
        for name, path in paths.items():
            transform = read_transform(path)
            rows.extend(_rows(_Head(model, name, kind, pair), truth, transform, settings))
            if path == transforms / pair.id / TRANSFORM:
                _carry(pair, truth, transform, settings, (warped_labels, mapped_points))
        return rows

    measured = pairwork.each_pair(manifest_pairs(manifest, pairs), measure, "evaluate")
    metric_tables.write(output, (row for rows in measured for row in rows))


def _carry(
    pair: Pair,
    truth: Truth,
    transform: Transform,
    settings: EvaluateSettings,
    folders: tuple[Path | None, Path | None],
) -> None:
    """Write the pair's labels on the fixed grid and its points in the moving image, where asked for."""
    labels, fixed = truth.labels, truth.fixed_points
    path = _place(folders[0], f"{pair.id}.nii.gz", wanted=settings.warped_labels and labels is not None)
    if path is not None and labels is not None:
        carried.write_warped_labels(labels.moving, truth.image, transform, path)
    path = _place(folders[1], f"{pair.id}.tsv", wanted=settings.mapped_points and bool(fixed))
    if path is not None:
        carried.write_mapped_points(fixed, truth.moving_points, transform, path)


def _place(folder: Path | None, name: str, *, wanted: bool) -> Path | None:
    """Where to write a file, or None where it is not wanted; then none stays from an earlier run."""
    if folder is None and wanted:
        message = "settings ask for labels or points; say where by --warped-labels and --mapped-points"
        raise DataError(message)
    if folder is not None and not wanted:
        files.remove(folder / name)
    return folder / name if folder is not None and wanted else None


def _by_pair(entries: Iterable[FileEntry]) -> dict[str, list[FileEntry]]:
    """The transforms of each pair."""
    found: dict[str, list[FileEntry]] = {}
    for item in entries:
        if Path(item.file).name == TRANSFORM:
            found.setdefault(item.pair, []).append(item)
    return found


def _folds(pair: Pair, own: Sequence[FileEntry], root: Path, fold: str) -> dict[str, Path]:
    """The pair's transforms by fold, the main one first; each verified to be what was written."""
    wrong = tables.faults(own, root, content=True)
    if wrong:
        fix = "delete it, if it is still there, and run the same command again"
        raise DataError("; ".join([*wrong, fix]))
    main = [root / item.file for item in own if item.file == f"{pair.id}/{TRANSFORM}"]
    if not main:
        message = f"no {TRANSFORM} in the table of registered pairs; delete the table and run again"
        raise DataError(message)
    places = {Path(item.file).parent.relative_to(pair.id).parts: root / item.file for item in own}
    members = {place[0]: path for place, path in places.items() if len(place) == 1}
    found = {ENSEMBLE if members or fold == TEST else fold: main[0]}
    return found | {name.removeprefix("fold-"): path for name, path in sorted(members.items())}


def _rows(head: _Head, truth: Truth, transform: Transform, settings: EvaluateSettings) -> Iterator[MetricRow]:
    labels = truth.labels
    moving = labels.moving.affine if labels else truth.image.affine
    boxes = [item.own for item in labels.pieces.values()] if labels else []
    found = survey(transform, truth.image, moving, boxes)
    yield from _field_rows(head, transform, found)
    yield from _point_rows(head, truth, transform)
    if labels is not None:
        if not same_grid(labels.grid, truth.image):
            found = survey(transform, labels.grid, moving, boxes)
        warped = _warped(labels, transform, found.landings, settings.evaluation.threshold)
        yield from _label_rows(head, labels, warped, settings)
    yield from _challenge_rows(head, truth, transform, settings)


def _warped(
    labels: LabelTruth, transform: Transform, landings: Sequence[Box | None], threshold: float
) -> dict[int, tuple[Region, Region]]:
    """The moving labels on the fixed grid by key: by the alignment alone, and by the whole map."""
    precise = replace(transform, field=transform.field.to(torch.float64))
    warper = Warper(precise, labels.grid, labels.moving.affine, threshold)
    pieces = tuple(labels.pieces.values())
    states = warper.by_alignment(pieces), warper.by_transform(pieces, landings)
    return dict(zip(labels.pieces, zip(*states, strict=True), strict=True))


def _field_rows(head: _Head, transform: Transform, found: Survey) -> Iterator[MetricRow]:
    """The alignment alone is one matrix: its Jacobian is the same everywhere."""
    plain = np.linalg.det(transform.alignment[:3, :3]).reshape(1)
    for metric, figure in (
        ("folding", deformation.folding_percent),
        ("sd_log_jacobian", deformation.sd_log_jacobian),
    ):
        yield head.row(metric, (figure(plain), figure(found.determinants)), role="field")
    turned = 100 * max(0.0, -float(plain[0]))
    yield head.row("ndv", (turned, found.ndv_percent), role="field")


def _point_rows(head: _Head, truth: Truth, transform: Transform) -> Iterator[MetricRow]:
    fixed, moving = truth.fixed_points, truth.moving_points
    for side, lacking in (("fixed", moving.keys() - fixed.keys()), ("moving", fixed.keys() - moving.keys())):
        for name in sorted(lacking):
            label, note = metric_tables.plain(name), ABSENT.format(side)
            yield head.row("point_tre", (None, None), label=label, role="points", note=note)
    names = sorted(fixed.keys() & moving.keys())
    if not names:
        return
    starts, ends = (np.array([side[name] for name in names], dtype=np.float64) for side in (fixed, moving))
    before = point_errors_mm(transform.without_field().map_points(starts), ends)
    after = point_errors_mm(transform.map_points(starts), ends)
    for index, name in enumerate(names):
        figures = (float(before[index]), float(after[index]))
        yield head.row("point_tre", figures, label=metric_tables.plain(name), role="points")


def _label_rows(
    head: _Head,
    labels: LabelTruth,
    warped: Mapping[int, tuple[Region, Region]],
    settings: EvaluateSettings,
) -> Iterator[MetricRow]:
    """Rows of every label, from the moving labels on the fixed grid, before and after."""
    yield from _absent_rows(head, settings, warped.keys() - labels.fixed.keys(), "fixed")
    yield from _absent_rows(head, settings, labels.fixed.keys() - warped.keys(), "moving")
    errors = []
    normal = slices.normal(labels.grid.shape)
    for key in sorted(warped.keys() & labels.fixed.keys()):
        label = settings.labels.label(key)
        surfaces = settings.evaluation.surface_metrics and label.role == "structure"
        before, after = (
            strict.label_figures(
                state, labels.fixed[key], labels.grid.affine, surfaces=surfaces, normal=normal
            )
            for state in warped[key]
        )
        note = metric_tables.note(empty_before=warped[key][0].empty, vanished=warped[key][1].empty)
        for metric in before:
            figures = (before[metric], after[metric])
            yield head.row(metric, figures, label=label.name, role=label.role, note=note)
        if label.role == "landmark":
            errors.append((before["tre"], after["tre"]))
    yield from _case_rows(head, errors)


def _challenge_rows(
    head: _Head, truth: Truth, transform: Transform, settings: EvaluateSettings
) -> Iterator[MetricRow]:
    """Figures of the families that settings name beside the strict one."""
    chosen = settings.evaluation
    of = challenges.Measurand(head.pair, truth, transform, settings.labels, chosen.threshold)
    for family in dict.fromkeys(chosen.families):
        for item in challenges.findings(of, family):
            yield head.row(item.metric, item.figures, label=item.label, role=item.role, note=item.note)


def _absent_rows(
    head: _Head, settings: EvaluateSettings, keys: Iterable[int], side: str
) -> Iterator[MetricRow]:
    """One row without figures for each label that `side` lacks."""
    for label in (settings.labels.label(key) for key in sorted(keys)):
        yield head.row("dice", (None, None), label=label.name, role=label.role, note=ABSENT.format(side))


def _case_rows(head: _Head, errors: Sequence[tuple[float | None, float | None]]) -> Iterator[MetricRow]:
    """The pair's root mean square over its landmarks; absent, and so worst, if one vanished."""
    if errors:
        before, after = (root_mean_square(side) for side in zip(*errors, strict=True))
        note = metric_tables.note(empty_before=before is None, vanished=after is None)
        yield head.row("rms_tre", (before, after), role="landmark", note=note)
