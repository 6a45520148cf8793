"""Checks whether trainings can succeed: their pairs, validation, learning rates and hours."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

from tenter import folds, launching
from tenter.config import Model, Training
from tenter.folds import Split
from tenter.intake import agreement
from tenter.intake.forecast import Forecast, duration
from tenter.intake.integrity import Findings
from tenter.records import Fault
from tenter.study import Study

LEAST = 0.05
"""Sum of the learning rate over all steps below which hardly anything is learnt.

Adam moves a weight by at most about the learning rate in each step. The original label-reg's
10 000 steps at 1e-5 come to 0.1; 300 steps at 1e-3 with a cosine schedule, which suffice on
simulated data, to 0.15."""

RATE = 1e-3
"""Recommended learning rate: that of the shipped configurations for real cohorts."""

HOURS = 24.0
"""Hours of training without a GPU from which lighter settings are recommended."""

FEWEST = 2
"""Number of validation pairs below which the validation curve says too little."""

FRACTIONS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
"""Validation fractions that are tried if validation has too few pairs."""

Splits = Mapping[str, Sequence[Split]]
"""The splits of all folds and seeds of each configured model."""


def splits(study: Study, findings: Findings) -> Splits:
    """Training and validation pairs of each training, split exactly as `train` will split them.

    Args:
        study: the study.
        findings: of every file; if labels were not read, pairs that name some count as labelled.
    """
    labelled = _labelled(study, findings)
    return {
        name: _splits(study, name, labelled, model.validation.fraction)
        for name, model in study.config.models.items()
    }


def lines(by_model: Splits) -> Iterator[str]:
    """Lines for display: numbers of training pairs; models with equal numbers share a line."""
    names_by_text: dict[str, list[str]] = {}
    for name, splits_of_model in by_model.items():
        names_by_text.setdefault(_counts(splits_of_model), []).append(name)
    for text, names in names_by_text.items():
        whose = f" of {', '.join(names)}" if len(names_by_text) > 1 else ""
        yield f"each fold's training{whose}: {text}"


def advice(study: Study, findings: Findings, by_model: Splits, needs: Forecast) -> Iterator[Fault]:
    """Warnings about trainings that can learn little, or whose validation is not informative.

    Args:
        study: the study.
        findings: of every file.
        by_model: the result of `splits`.
        needs: forecast of the study.
    """
    yield from _long(study, needs)
    for name, model in study.config.models.items():
        yield from _slow(study, name, model)
        yield from _unseen(study, name, model, by_model[name])
        yield from _unvalidated(study, name, findings, by_model[name])


def span(counts: Sequence[int], noun: str) -> str:
    """`3 pairs`, or `3 to 5 pairs`."""
    low, high = min(counts), max(counts)
    text = f"{low}" if low == high else f"{low} to {high}"
    return f"{text} {noun}{'' if high == 1 else 's'}"


def _labelled(study: Study, findings: Findings) -> frozenset[str]:
    read = all(
        finding.sound and finding.sha256 for use, finding in findings.items() if use[1] == "labels"
    )
    return frozenset(
        pair.id
        for pair in study.cohort.pairs
        if (agreement.common_keys(pair, findings) if read else pair.labelled)
    )


def _splits(study: Study, name: str, labelled: frozenset[str], fraction: float) -> list[Split]:
    model = study.config.models[name]
    trainings = []
    for fold in study.cohort.folds:
        pairs = [
            pair
            for chunk in study.cohort.training_chunks(fold)
            for pair in study.cohort.chunks[chunk]
        ]
        usable = {
            pair.id: pair.patients for pair in pairs if model.losses.images or pair.id in labelled
        }
        trainings += [
            folds.set_aside(usable, fraction, seed=seed, fold=fold) for seed in model.seeds
        ]
    return trainings


def _counts(trainings: Sequence[Split]) -> str:
    text = f"{span([len(split.training) for split in trainings], 'pair')} to learn from"
    validation = [len(split.validation) for split in trainings]
    text += (
        f", {span(validation, 'pair')} for validation"
        if max(validation)
        else ", none for validation"
    )
    left_out = [len(split.left_out) for split in trainings]
    if max(left_out):
        text += (
            f", {span(left_out, 'pair')} left out (only one of the two patients is in validation)"
        )
    return text


def _long(study: Study, needs: Forecast) -> Iterator[Fault]:
    """Trainings that take days without a GPU; not checked if the study requests a GPU."""
    if (
        needs.training_hours < HOURS
        or launching.gpus_per_job(study.config.runtime)
        or study.config.runtime.device == "cuda"
    ):
        return
    message = f"training takes about {duration(needs.training_hours)} without a GPU"
    fix = (
        "train on a GPU, or choose lighter settings: `network: {name: unet, channels: 16}`, "
        f"`training: {{steps: 1500, learning_rate: {RATE:g}}}`, or a coarser `plan.spacing_mm` "
        "(twice as coarse takes an eighth of the time)"
    )
    yield Fault(str(study.path), message, fix, None, "models", "WARNING")


def _slow(study: Study, name: str, model: Model) -> Iterator[Fault]:
    """Learning rate and steps too small to move the weights; not checked after a warm start."""
    settings = model.training
    if _moved(settings) >= LEAST or model.warm_start is not None:
        return
    message = (
        f"{settings.steps} steps at a learning rate of {settings.learning_rate:g} move each weight "
        f"by about {_moved(settings):.2g} at most: too little to learn"
    )
    changes = []
    if settings.learning_rate < RATE:
        settings = settings.model_copy(update={"learning_rate": RATE})
        changes.append(f"`learning_rate: {RATE:g}`")
    if _moved(settings) < LEAST:
        counts = (50 * 2**power for power in itertools.count())
        enough = (n for n in counts if _moved(settings.model_copy(update={"steps": n})) >= LEAST)
        changes.append(f"at least `steps: {next(enough)}`")
    fix = f"set {' and '.join(changes)}"
    yield Fault(str(study.path), message, fix, None, f"models.{name}.training", "WARNING")


def _moved(settings: Training) -> float:
    """Sum of the learning rate over all steps."""
    return settings.learning_rate * settings.steps * _share(settings)


def _share(settings: Training) -> float:
    """Mean of the learning rate over all steps, relative to its maximum."""
    steps, decay = settings.steps, settings.decay
    warmup = min(1.0, settings.warmup / steps)
    if settings.schedule == "cosine":
        mean = 0.5
    elif settings.schedule == "exponential":
        mean = (1 - decay) / -math.log(decay)
    elif settings.schedule == "steps":
        ends = (0, *(milestone for milestone in settings.decay_at if milestone < steps), steps)
        mean = sum(decay**k * (b - a) for k, (a, b) in enumerate(itertools.pairwise(ends))) / steps
    else:
        mean = 1.0
    return mean * (1 - warmup) + 0.5 * warmup


def _unseen(study: Study, name: str, model: Model, trainings: Sequence[Split]) -> Iterator[Fault]:
    """A training that draws fewer samples than it has pairs."""
    samples = model.training.steps * model.training.batch
    most = max(len(split.training) for split in trainings)
    if samples < most:
        sizes = f"{model.training.steps} steps of {model.training.batch} pairs"
        message = f"{sizes} see at most {samples} of {most} pairs"
        least = math.ceil(most / model.training.batch)
        fix = f"set at least `steps: {least}`, better ten times as many"
        yield Fault(str(study.path), message, fix, None, f"models.{name}.training.steps", "WARNING")


def _unvalidated(
    study: Study, name: str, findings: Findings, trainings: Sequence[Split]
) -> Iterator[Fault]:
    """Trainings with one validation pair, or none although validation is configured."""
    validation = study.config.models[name].validation
    counts = [len(split.validation) for split in trainings]
    if validation.fraction == 0 or min(counts) >= FEWEST:
        return
    few = [count for count in counts if count < FEWEST]
    number = "no pair" if max(few) == 0 else "a single pair" if min(few) else "at most one pair"
    message = (
        f"validation is on {number} in {len(few)} of {len(counts)} trainings: "
        "its curve says little about other patients"
    )
    if validation.keep == "best" or validation.patience is not None:
        message += ", and `keep` or `patience` depend on it"
    labelled = _labelled(study, findings)
    better = [
        fraction
        for fraction in FRACTIONS
        if fraction > validation.fraction
        and min(len(split.validation) for split in _splits(study, name, labelled, fraction))
        >= FEWEST
    ]
    fix = "set it to 0, with `keep: last` and no `patience`, to learn from all pairs"
    fix = f"set it to {better[0]:g}, or to 0 to learn from all pairs" if better else fix
    yield Fault(
        str(study.path), message, fix, None, f"models.{name}.validation.fraction", "WARNING"
    )
