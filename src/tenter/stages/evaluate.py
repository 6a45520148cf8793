"""Measure registered pairs on the original fixed grid, before and after, in mm."""

from __future__ import annotations

from pathlib import Path

from tenter import pairwork
from tenter.config import EvaluateSettings
from tenter.formats.transforms import read_transform
from tenter.manifest import rows as row_files
from tenter.measurement import evaluation, metric_tables, registrations
from tenter.measurement.truth import read_truth
from tenter.records import MetricRow, Pair
from tenter.registration import warped_files


def evaluate(  # noqa: PLR0913 - its arguments are the command's flags
    *,
    rows: Path,
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
        rows: Rows of the pairs to measure, as a run writes them (JSON).
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
        InputError: a custom metric cannot be imported.
    """
    entries = registrations.read(fields)
    metrics = evaluation.custom_metrics(settings)
    folders = warped_files.Folders(
        warped_labels,
        mapped_points,
        warps_labels=settings.warped_labels,
        maps_points=settings.mapped_points,
    )

    def measure(pair: Pair) -> list[MetricRow]:
        paths = registrations.by_fold(pair.id, entries.get(pair.id, []), transforms, fold)
        truth = read_truth(pair, settings.labels, settings.evaluation.threshold)
        kind = registrations.TEST if fold == registrations.TEST else pair.set
        figures: list[MetricRow] = []
        for number, (name, path) in enumerate(paths.items()):
            transform = read_transform(path)
            origin = evaluation.Origin(model, name, kind)
            measured = evaluation.rows(pair, truth, transform, origin, settings, custom=metrics)
            figures.extend(measured)
            if number == 0:  # the main transform
                warped_files.write(pair.id, truth, transform, folders)
        return figures

    figures_of_pairs = pairwork.each_pair(row_files.read(rows), measure, "evaluate")
    metric_tables.write(output, (row for figures in figures_of_pairs for row in figures))
