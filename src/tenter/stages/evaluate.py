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
class _RowBuilder:
    """Builds metric rows from the fields that all rows of one pair and one transform share."""

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

    A pair without labels or points gets only the metrics of its displacement field. A label that
    vanished keeps its rows: its Dice is 0, its distances are absent with the note
    `vanished`, and summaries count them as worst. A label that only one side has gives one
    Dice row without values and with a note. Rows of challenge families, if the settings name
    any, follow the challenges' own rules for such labels.

    Args:
        manifest: Table of pairs.
        pairs: Ids of the pairs to measure.
        fields: Table of the files that registration wrote for these pairs.
        transforms: Folder of the files in that table.
        model: Name of the model.
        fold: Fold whose model registered the pairs; or `test` for pairs that the models of all
            folds registered: their main transform is measured as fold `ensemble`, and that of each
            member (`fold-<k>/`) as fold `<k>`. Members of several models (`<model>/fold-<k>/`)
            are not measured here, but with their own model.
        settings: How labels are read and measured (JSON).
        code: Fingerprint of this stage's code.
        output: Table of metrics to write.
        warped_labels: Folder for the warped labels; required if the settings ask for them.
        mapped_points: Folder for tables of mapped points; required if the settings ask for them.

    Raises:
        DataError: some pairs could not be measured; all of them are named, and no table is written.
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
            rows.extend(_rows(_RowBuilder(model, name, kind, pair), truth, transform, settings))
            if path == transforms / pair.id / TRANSFORM:
                _write_warped(pair, truth, transform, settings, (warped_labels, mapped_points))
        return rows

    measured = pairwork.each_pair(manifest_pairs(manifest, pairs), measure, "evaluate")
    metric_tables.write(output, (row for rows in measured for row in rows))


def _write_warped(
    pair: Pair,
    truth: Truth,
    transform: Transform,
    settings: EvaluateSettings,
    folders: tuple[Path | None, Path | None],
) -> None:
    """Write the labels on the fixed grid and the points in the moving image, if requested."""
    labels, fixed = truth.labels, truth.fixed_points
    path = _output_path(
        folders[0], f"{pair.id}.nii.gz", requested=settings.warped_labels and labels is not None
    )
    if path is not None and labels is not None:
        carried.write_warped_labels(labels.moving, truth.image, transform, path)
    path = _output_path(
        folders[1], f"{pair.id}.tsv", requested=settings.mapped_points and bool(fixed)
    )
    if path is not None:
        carried.write_mapped_points(fixed, truth.moving_points, transform, path)


def _output_path(folder: Path | None, name: str, *, requested: bool) -> Path | None:
    """Return the path to write, or None; an earlier file that is no longer requested is removed."""
    if folder is None and requested:
        message = (
            "settings ask for labels or points; say where by --warped-labels and --mapped-points"
        )
        raise DataError(message)
    if folder is not None and not requested:
        files.remove(folder / name)
    return folder / name if folder is not None and requested else None


def _by_pair(entries: Iterable[FileEntry]) -> dict[str, list[FileEntry]]:
    """Group the entries of transforms by pair."""
    by_pair: dict[str, list[FileEntry]] = {}
    for entry in entries:
        if Path(entry.file).name == TRANSFORM:
            by_pair.setdefault(entry.pair, []).append(entry)
    return by_pair


def _folds(pair: Pair, entries: Sequence[FileEntry], root: Path, fold: str) -> dict[str, Path]:
    """Return the pair's transforms by fold, the main one first, after verifying their sha256."""
    faults = tables.faults(entries, root, content=True)
    if faults:
        fix = "delete it, if it is still there, and run the same command again"
        raise DataError("; ".join([*faults, fix]))
    main = [root / entry.file for entry in entries if entry.file == f"{pair.id}/{TRANSFORM}"]
    if not main:
        message = f"no {TRANSFORM} in the table of registered pairs; delete the table and run again"
        raise DataError(message)
    paths = {
        Path(entry.file).parent.relative_to(pair.id).parts: root / entry.file for entry in entries
    }
    members = {parts[0]: path for parts, path in paths.items() if len(parts) == 1}
    folds = {ENSEMBLE if members or fold == TEST else fold: main[0]}
    return folds | {name.removeprefix("fold-"): path for name, path in sorted(members.items())}


def _rows(
    builder: _RowBuilder, truth: Truth, transform: Transform, settings: EvaluateSettings
) -> Iterator[MetricRow]:
    labels = truth.labels
    moving = labels.moving.affine if labels else truth.image.affine
    boxes = [piece.own for piece in labels.pieces.values()] if labels else []
    surveyed = survey(transform, truth.image, moving, boxes)
    yield from _field_rows(builder, transform, surveyed)
    yield from _point_rows(builder, truth, transform)
    if labels is not None:
        if not same_grid(labels.grid, truth.image):
            surveyed = survey(transform, labels.grid, moving, boxes)
        warped = _warped(labels, transform, surveyed.landings, settings.evaluation.threshold)
        yield from _label_rows(builder, labels, warped, settings)
    yield from _challenge_rows(builder, truth, transform, settings)


def _warped(
    labels: LabelTruth, transform: Transform, landings: Sequence[Box | None], threshold: float
) -> dict[int, tuple[Region, Region]]:
    """Warp the moving labels to the fixed grid: by the alignment alone, and by the whole map."""
    precise = replace(transform, field=transform.field.to(torch.float64))
    warper = Warper(precise, labels.grid, labels.moving.affine, threshold)
    pieces = tuple(labels.pieces.values())
    states = warper.by_alignment(pieces), warper.by_transform(pieces, landings)
    return dict(zip(labels.pieces, zip(*states, strict=True), strict=True))


def _field_rows(
    builder: _RowBuilder, transform: Transform, surveyed: Survey
) -> Iterator[MetricRow]:
    """Rows of the field's regularity; before, the Jacobian of the alignment matrix is constant."""
    determinant = np.linalg.det(transform.alignment[:3, :3]).reshape(1)
    for metric, figure in (
        ("folding", deformation.folding_percent),
        ("sd_log_jacobian", deformation.sd_log_jacobian),
    ):
        yield builder.row(
            metric, (figure(determinant), figure(surveyed.determinants)), role="field"
        )
    inverted = 100 * max(0.0, -float(determinant[0]))
    yield builder.row("ndv", (inverted, surveyed.ndv_percent), role="field")


def _point_rows(builder: _RowBuilder, truth: Truth, transform: Transform) -> Iterator[MetricRow]:
    fixed, moving = truth.fixed_points, truth.moving_points
    for side, missing in (
        ("fixed", moving.keys() - fixed.keys()),
        ("moving", fixed.keys() - moving.keys()),
    ):
        for name in sorted(missing):
            label, note = metric_tables.plain(name), ABSENT.format(side)
            yield builder.row("point_tre", (None, None), label=label, role="points", note=note)
    names = sorted(fixed.keys() & moving.keys())
    if not names:
        return
    starts, ends = (
        np.array([side[name] for name in names], dtype=np.float64) for side in (fixed, moving)
    )
    before = point_errors_mm(transform.without_field().map_points(starts), ends)
    after = point_errors_mm(transform.map_points(starts), ends)
    for index, name in enumerate(names):
        figures = (float(before[index]), float(after[index]))
        yield builder.row("point_tre", figures, label=metric_tables.plain(name), role="points")


def _label_rows(
    builder: _RowBuilder,
    labels: LabelTruth,
    warped: Mapping[int, tuple[Region, Region]],
    settings: EvaluateSettings,
) -> Iterator[MetricRow]:
    """Rows of every label, from the moving labels on the fixed grid, before and after."""
    yield from _absent_rows(builder, settings, warped.keys() - labels.fixed.keys(), "fixed")
    yield from _absent_rows(builder, settings, labels.fixed.keys() - warped.keys(), "moving")
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
            yield builder.row(metric, figures, label=label.name, role=label.role, note=note)
        if label.role == "landmark":
            errors.append((before["tre"], after["tre"]))
    yield from _case_rows(builder, errors)


def _challenge_rows(
    builder: _RowBuilder, truth: Truth, transform: Transform, settings: EvaluateSettings
) -> Iterator[MetricRow]:
    """Rows of the challenge families that the settings name."""
    chosen = settings.evaluation
    measurand = challenges.Measurand(
        builder.pair, truth, transform, settings.labels, chosen.threshold
    )
    for family in dict.fromkeys(chosen.families):
        for finding in challenges.findings(measurand, family):
            yield builder.row(
                finding.metric,
                finding.figures,
                label=finding.label,
                role=finding.role,
                note=finding.note,
            )


def _absent_rows(
    builder: _RowBuilder, settings: EvaluateSettings, keys: Iterable[int], side: str
) -> Iterator[MetricRow]:
    """One row without values for each label that is missing on `side`."""
    for label in (settings.labels.label(key) for key in sorted(keys)):
        yield builder.row(
            "dice", (None, None), label=label.name, role=label.role, note=ABSENT.format(side)
        )


def _case_rows(
    builder: _RowBuilder, errors: Sequence[tuple[float | None, float | None]]
) -> Iterator[MetricRow]:
    """The pair's root mean square error over its landmarks; absent (worst) if one vanished."""
    if errors:
        before, after = (root_mean_square(side) for side in zip(*errors, strict=True))
        note = metric_tables.note(empty_before=before is None, vanished=after is None)
        yield builder.row("rms_tre", (before, after), role="landmark", note=note)
