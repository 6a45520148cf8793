"""Mirror a finished model to MLflow, from its files; doing it again changes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tenter import files, tracking
from tenter.training import models
from tenter.training.recorder import read_history

ALL = "all"
FIGURES = {
    "before_median": ("baseline", "median"),
    "after_median": ("", "median"),
    "after_p10": ("", "p10"),
    "after_p90": ("", "p90"),
    "worse_rate": ("", "worse_rate"),
    "vanished": ("", "vanished"),
}
"""Columns of the summary that are mirrored: a prefix of the group, and the metric's last word."""

SETS = {"cv": "test", "test": "testset"}
"""Pairs that no fold's network learnt from, by cross-validation or as the test set."""

COLUMNS = ("model", "fold", "label", "role", "metric", "unit", "set")
"""Columns of the summary that say what a line is about."""

UNITS = {"1": "", "%": "_pct"}

Line = Mapping[str, str]


def publish(
    *,
    tracking: Path,
    model: str,
    models: tuple[Path, ...],
    options: tuple[str, ...] = (),
    metrics: Path,
    summary: Path,
    output: Path,
) -> str:
    """Make a model's mirror whole: a run a fold with curves, figures and files, and one above them.

    Each test-time option of the model has a run of its own beside the folds, with its figures.

    Args:
        tracking: record of the place, as `start-tracking` wrote it.
        model: its name.
        models: folders of its finished folds.
        options: names under which its test-time options registered.
        metrics: table of all figures; kept as a file beside the runs.
        summary: table of their distributions, whose medians become the runs' metrics.
        output: text that says where to look.

    Returns:
        that text.

    Raises:
        TrackingError: the server cannot be reached, or refuses.
    """
    lines = _lines(summary)
    figures = {name: _figures(_of(lines, name), ALL) for name in options}
    result = replace(_result(model, models, lines), artifacts=(metrics, summary), options=figures)
    text = _mirrored(tracking, result)
    files.write_text(output, text)
    return text


def _lines(summary: Path) -> list[Line]:
    """The lines of the summary, each with a known set and figures that are numbers."""
    rows = files.read_table(summary, COLUMNS)
    for number, cells in rows:
        try:
            tuple(_named(cells))
        except (KeyError, ValueError) as error:
            raise files.damaged(summary, f"unknown set or figure: {error}", row=number) from error
    return [cells for _, cells in rows]


def _mirrored(place: Path, result: tracking.ModelResult) -> str:
    return tracking.publish(tracking.read_place(place), result)


def _result(model: str, folders: Sequence[Path], lines: Sequence[Line]) -> tracking.ModelResult:
    own = _of(lines, model)
    folds = [_fold(folder, own) for folder in folders]
    return tracking.ModelResult(model=model, folds=folds, figures=_figures(own, ALL))


def _of(lines: Sequence[Line], model: str) -> list[Line]:
    return [line for line in lines if line["model"] == model]


def _fold(folder: Path, lines: Sequence[Line]) -> tracking.FoldResult:
    description = models.describe(folder)
    models.require_identity(folder, description)
    return tracking.FoldResult(
        description=description,
        history=read_history(folder / models.HISTORY),
        # The model of fold `all` registers no pair; the summary's `all` is the whole cross-validation.
        figures={} if description["fold"] == ALL else _figures(lines, str(description["fold"])),
        artifacts=[folder / name for name in (models.WEIGHTS, models.DESCRIPTION, models.HISTORY)],
    )


def _figures(lines: Sequence[Line], fold: str) -> dict[str, float]:
    """Figures of a fold over all labels of a role, such as `test/landmark_tre_mm_median`."""
    chosen = [line for line in lines if line["fold"] == fold and not line["label"]]
    return dict(figure for line in chosen for figure in _named(line))


def _named(line: Line) -> Iterator[tuple[str, float]]:
    unit = UNITS.get(line["unit"], f"_{line['unit']}")
    what = re.sub(r"[^A-Za-z0-9_.-]", "_", f"{line['role']}_{line['metric']}{unit}")
    for column, (prefix, word) in FIGURES.items():
        if line.get(column):
            group = "_".join(part for part in (prefix, SETS[line["set"]]) if part)
            yield f"{group}/{what}_{word}", float(line[column])
