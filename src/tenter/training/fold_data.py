"""What the network of one fold learns from: its prepared cases, divided, and their plan."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tenter import files, tables
from tenter.cases import plans
from tenter.config import TrainSettings
from tenter.errors import DataError
from tenter.folds import Split, set_aside
from tenter.losses import objective
from tenter.records import FINAL, Fault, FileEntry, Plan
from tenter.sampling import cohort
from tenter.sampling.cohort import Case

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the prepared cases of a fold are.

    Attributes:
        images: tables of the prepared images of the training cases.
        labels: tables of the prepared labels of the training cases.
        cases: folder of the files in these tables.
        plan: plan of the cohort.
    """

    images: Sequence[Path]
    labels: Sequence[Path]
    cases: Path
    plan: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldData:
    """The cases of a fold in memory.

    Attributes:
        fold: its name.
        plan: by which the cases were prepared.
        split: ids of the pairs for training, for validation, and of those left out.
        training: training cases.
        validation: validation cases.
        channels: of the moving and of the fixed images.
        shape: voxels of the grid.
        digest: of the bytes of all cases.
    """

    fold: str
    plan: Plan
    split: Split
    training: Sequence[Case]
    validation: Sequence[Case]
    channels: dict[str, int]
    shape: Sequence[int]
    digest: str


def load(sources: Sources, settings: TrainSettings, fold: str, device: torch.device) -> FoldData:
    """Load the cases of a fold, and set some patients aside for validation.

    Args:
        sources: where the cases are.
        settings: of the training.
        fold: the held-out fold, or `all` to train on all patients.
        device: of the labels; images are moved to it if they fit.

    Raises:
        DataError: cases are missing, damaged, without labels or on different grids.
        TrainingError: losses compare images that differ in channels.
    """
    plan = plans.read_plan(sources.plan)
    entries = _entries(sources)
    unlabelled = bool(settings.losses.images)
    cases = cohort.load(sources.cases, sorted(entries), device, unlabelled=unlabelled)
    moving, fixed = cases[0].images
    objective.require_equal_channels(moving.shape[0], fixed.shape[0], settings.losses)
    split = _split(cases, settings, fold)
    files_read = (entry for pair_entries in entries.values() for entry in pair_entries)
    return FoldData(
        fold=fold,
        plan=plan,
        split=split,
        training=[case for case in cases if case.pair in set(split.training)],
        validation=[case for case in cases if case.pair in set(split.validation)],
        channels={"moving": moving.shape[0], "fixed": fixed.shape[0]},
        shape=fixed.shape[1:],
        digest=files.digest(sorted((entry.pair, entry.file, entry.sha256) for entry in files_read)),
    )


def _entries(sources: Sources) -> dict[str, tuple[FileEntry, ...]]:
    """The verified files of each case that has both images and labels."""
    images, labels = (
        tables.verified(paths, sources.cases) for paths in (sources.images, sources.labels)
    )
    entries = {pair: (*images[pair], *labels[pair]) for pair in images.keys() & labels.keys()}
    if not entries:
        message = "the training part has no prepared pairs"
        fix = "give it pairs with images and labels"
        raise DataError(Fault(str(sources.cases), message, fix))
    return entries


def _split(cases: Sequence[Case], settings: TrainSettings, fold: str) -> Split:
    fraction = 0.0 if fold == FINAL else settings.validation.fraction
    patients = {case.pair: case.patients for case in cases}
    split = set_aside(patients, fraction, seed=settings.seed, fold=fold)
    if fraction and not split.validation:
        _log.warning("fold %s: too few patients to set some aside: no validation", fold)
    counts = len(split.training), len(split.validation), len(split.left_out)
    text = (
        "fold %s: %d pairs to train on, %d for validation, "
        "%d left out (one patient is in validation)"
    )
    _log.info(text, fold, *counts)
    return split
