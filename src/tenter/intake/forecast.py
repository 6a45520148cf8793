"""What a study will take, roughly: bytes of results, hours of training.

Hours follow from the networks' arithmetic, counted without doing it, and from what each loss took.
"""

from __future__ import annotations

import math
import os
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from tenter import config, networks
from tenter.intake import agreement
from tenter.intake.integrity import Findings, uses
from tenter.records import Pair, Plan
from tenter.spatial.transform import FINEST, MOST_VOXELS
from tenter.study import Study

FLOPS_PER_CORE = 50e9
"""Sustained in 3-D convolutions, float32, by a server's core; 30e9 (8 channels) to 100e9 (32) were seen."""

SECONDS_PER_STEP = 0.02
SECONDS_PER_VOXEL = 0.2e-6
SECONDS_PER_LABEL = 0.05e-6
"""What drawing, warps and the optimiser add on one core: for each step; each voxel of each pair in it; and
each label of such a voxel."""

SECONDS_PER_TERM = {
    "dice": 0.06e-6,
    "generalised_dice": 0.06e-6,
    "jaccard": 0.12e-6,
    "cross_entropy": 0.2e-6,
    "mean_squared": 0.12e-6,
    "centroid": 0.005e-6,
    "ssd": 0.08e-6,
    "gncc": 0.12e-6,
    "lncc": 0.27e-6,
    "mutual_information": 0.48e-6,
    "mind": 0.67e-6,
    "bending": 0.13e-6,
    "gradient": 0.05e-6,
    "folding": 0.15e-6,
    "inverse_consistency": 0.25e-6,
}
"""What each term of the loss adds for each voxel of a pair: of labels for each of them, of six scales."""

SCALES = 6

PASSES = 3.0
"""A training step's arithmetic over a registration's: the backward pass is twice the forward one."""

PACKED = 0.9
"""Size of gzip-compressed real numbers over their plain size."""

PACKED_LABELS = 0.05
"""Likewise of labels."""

WIDER = 1.7
"""Voxels of an inverse's grid over those of the forward one, by what the field moves beyond it."""

COPIES = 4
"""Weights, their average and Adam's two moments, in a checkpoint."""

PROBE = (32, 32, 32)
"""Grid on which a network's arithmetic is counted where no plan is known; it grows with the voxels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Rough needs of a study.

    Attributes:
        cases_bytes: prepared images and labels.
        models_bytes: weights and checkpoints.
        fields_bytes: transforms and what else `export` asks for, by what it asks for.
        free_bytes: on the disk of the results.
        training_hours: of all models and folds, one after the other, on `cores`.
        trainings: how many models times folds (and seeds) are trained.
        cores: CPU cores that this process may use.
    """

    cases_bytes: int
    models_bytes: int
    fields_bytes: dict[str, int]
    free_bytes: int
    training_hours: float
    trainings: int
    cores: int

    @property
    def bytes(self) -> int:
        """All results together."""
        return self.cases_bytes + self.models_bytes + sum(self.fields_bytes.values())

    def lines(self) -> tuple[str, str]:
        """Two lines for people: disk and time."""
        parts = {"cases": self.cases_bytes, "models": self.models_bytes, **self.fields_bytes}
        disk = ", ".join(f"{name} {size(value)}" for name, value in parts.items())
        total = f"about {size(self.bytes)} ({disk}); {size(self.free_bytes)} free"
        if not self.trainings:
            return f"disk: {total}", "time: no training"
        rate = f"{FLOPS_PER_CORE / 1e9:.0f} GFLOP/s on each of {self.cores} cores"
        basis = f"from the networks' arithmetic at {rate}, and the losses; within a factor of 3"
        time = f"about {duration(self.training_hours)} for {self.trainings} trainings without a GPU ({basis})"
        return f"disk: {total}", f"time: {time}"


def forecast(study: Study, plan: Plan, findings: Findings) -> Forecast:
    """Estimate what a study will take.

    Args:
        study: the study; its pairs' images must be sound.
        plan: the common grid.
        findings: of every file.
    """
    voxels = math.prod(plan.shape)
    hours, weights, trainings = 0.0, 0, 0
    for name, model in study.models.items():
        runs = len(study.trained_folds(name))
        parameters, flops = arithmetic(model.network, plan.moving_channels, plan.fixed_channels, plan.shape)
        both_ways = any(term.name == "inverse_consistency" for term in model.losses.regularisers)
        passes = 2 * PASSES if both_ways else PASSES
        per_voxel = passes * flops / FLOPS_PER_CORE + _loss_seconds(model, study.pairs, findings)
        step = SECONDS_PER_STEP + model.training.batch * voxels * per_voxel
        hours += runs * model.training.steps * step / (_cores() * 3600)
        weights += runs * parameters * 4 * (1 + COPIES)
        trainings += runs
    return Forecast(
        cases_bytes=sum(_case_bytes(pair, plan, findings) for pair in study.pairs),
        models_bytes=weights,
        fields_bytes=_fields_bytes(study, voxels, findings),
        free_bytes=shutil.disk_usage(existing(study.results)).free,
        training_hours=hours,
        trainings=trainings,
        cores=_cores(),
    )


def arithmetic(
    settings: config.Network, moving: int, fixed: int, shape: Sequence[int] = PROBE
) -> tuple[int, float]:
    """Weights of a network, and floating-point operations of a registration for each voxel of the grid.

    Args:
        settings: the network.
        moving: channels of the moving image.
        fixed: channels of the fixed image.
        shape: of the grid on which it is counted; some networks fit one alone.

    Raises:
        TrainingError: the network does not fit the grid.
    """
    with FakeTensorMode(), torch.no_grad():
        network = networks.on_grid(settings, (moving, fixed), shape)
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros((1, moving, *shape)), torch.zeros((1, fixed, *shape)))
        parameters = sum(weight.numel() for weight in network.parameters())
    return parameters, counter.get_total_flops() / math.prod(shape)


def _loss_seconds(model: config.Model, pairs: Sequence[Pair], findings: Findings) -> float:
    """What a training step takes beside the network, for each voxel of each pair in it."""
    labels = _labels_drawn(model.training.labels_per_pair, pairs, findings)
    total = SECONDS_PER_VOXEL + SECONDS_PER_LABEL * labels
    for term in model.losses.labels:
        scales = () if isinstance(term, config.CentroidLoss) else term.scales_mm or term.scales_voxel or ()
        share = len(scales) / SCALES if scales else 1.0
        total += labels * share * SECONDS_PER_TERM[term.name]
    return total + sum(
        SECONDS_PER_TERM[term.name] for term in (*model.losses.images, *model.losses.regularisers)
    )


def _labels_drawn(wanted: int | Literal["all"], pairs: Sequence[Pair], findings: Findings) -> float:
    """Labels of a pair in a step: as many as are asked for, and no more than labelled pairs have."""
    counts = [count for pair in pairs if (count := len(agreement.common_keys(pair, findings)))]
    there = statistics.fmean(counts) if counts else 0.0
    return there if wanted == "all" else min(float(wanted), there)


def existing(path: Path) -> Path:
    """A folder, or the nearest one above it that exists."""
    path = path.absolute()
    while not path.is_dir():
        path = path.parent
    return path


def _case_bytes(pair: Pair, plan: Plan, findings: Findings) -> int:
    labels = sum(len(findings[use].keys) for use in uses(pair).values())
    return math.prod(plan.shape) * (4 * (plan.moving_channels + plan.fixed_channels) + labels)


def _fields_bytes(study: Study, voxels: int, findings: Findings) -> dict[str, int]:
    """What each kind of file takes that registration and evaluation write, of all pairs and models."""
    export = study.config.export
    asked = {"transform": True} | {name: bool(getattr(export, name)) for name in type(export).model_fields}
    total = dict.fromkeys((name for name, wanted in asked.items() if wanted and name != "points"), 0.0)
    for pair in study.pairs:
        transforms = [_transforms(study, pair, model) for model in study.registering_models]
        for name, taken in _pair_bytes(pair, voxels, findings).items():
            if name in total:
                total[name] += taken * (
                    sum(transforms) if name == "transform" else sum(count > 0 for count in transforms)
                )
    return {name: int(taken) for name, taken in total.items()}


def _transforms(study: Study, pair: Pair, model: str) -> int:
    """How many transforms a pair gets of a model: an ensemble writes its members' too."""
    if study.applied is not None:
        members = len(study.applied_members)
    elif pair.id not in study.registered:
        return 0
    else:
        members = len(study.trained_behind(model)) * (len(study.folds) if pair.set == "test" else 1)
    return members + 1 if members > 1 else 1


def _pair_bytes(pair: Pair, voxels: int, findings: Findings) -> dict[str, float]:
    """What each kind of file of one pair takes."""
    moving, fixed = (findings[path, "image"] for path in (pair.moving, pair.fixed))
    there, here = (math.prod(image.shape or ()) for image in (moving, fixed))
    field = PACKED * 12 * here
    return {
        "transform": 24.0 * voxels,
        "field": field,
        "warped_image": PACKED * 4 * moving.channels * here,
        "inverse": 24 * inverse_voxels(voxels) + PACKED * 12 * there,
        "ras": field,
        "fsl": field,
        "learn2reg": field,
        "warped_labels": _labels_bytes(pair, findings, here),
    }


def inverse_voxels(voxels: int) -> float:
    """Voxels of an inverse as fine as it gets; a smooth field's is coarser."""
    found, factor = WIDER * voxels, 1
    while factor < FINEST and found * 8 <= MOST_VOXELS:
        found, factor = found * 8, factor * 2
    return found


def _labels_bytes(pair: Pair, findings: Findings, voxels: int) -> float:
    """A map takes a byte a voxel before it is packed, a stack one a label."""
    if pair.moving_labels is None or not pair.labelled:
        return 0.0
    return PACKED_LABELS * findings[pair.moving_labels, "labels"].channels * voxels


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def size(count: int) -> str:
    """A number of bytes for people."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.4g} TB"


def duration(hours: float) -> str:
    """A time for people."""
    if hours < 1 / 60:
        return "a minute or less"
    if hours < 2:
        return f"{hours * 60:.0f} minutes"
    return f"{hours:.0f} hours" if hours < 72 else f"{hours / 24:.0f} days"
