"""Rough estimate of a study's needs: bytes of results, hours of training.

Hours follow from the networks' operation counts (nothing is computed) and from measured times of
each loss.
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
from tenter.registrars import Registrar
from tenter.spatial.transform import FINEST, MOST_VOXELS
from tenter.study import Study

FLOPS_PER_CORE = 50e9
"""Sustained in float32 3-D convolutions by a server core; measured: 30e9 to 100e9.

8 channels reach the lower figure, 32 the upper one."""

SECONDS_PER_STEP = 0.02
SECONDS_PER_VOXEL = 0.2e-6
SECONDS_PER_LABEL = 0.05e-6
"""Seconds that drawing, warps and the optimiser add on one core: per step; per voxel and pair; and
per voxel, pair and label."""

PASSES = 3.0
"""Operations of a training step over those of a registration: the backward pass counts twice."""

PACKED = 0.9
"""Size of gzip-compressed real numbers relative to their uncompressed size."""

PACKED_LABELS = 0.05
"""The same for labels."""

WIDER = 1.7
"""Voxels of an inverse's grid over those of the forward grid: the field moves points beyond it."""

COPIES = 4
"""Arrays of the weights' size in a checkpoint: weights, their average and Adam's two moments."""

PROBE = (32, 32, 32)
"""Grid on which operations are counted if no plan is known; they grow with the number of voxels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Rough resource needs of a study.

    Attributes:
        cases_bytes: prepared images and labels.
        models_bytes: weights and checkpoints.
        fields_bytes: transforms and the files that `export` requests, by kind.
        free_bytes: on the disk of the results.
        training_hours: total over all models and folds, trained one after the other on `cores`.
        trainings: number of trainings: models times folds (and seeds).
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
        """Two lines for display: disk and time."""
        parts = {"cases": self.cases_bytes, "models": self.models_bytes, **self.fields_bytes}
        disk = ", ".join(f"{name} {size(value)}" for name, value in parts.items())
        total = f"about {size(self.bytes)} ({disk}); {size(self.free_bytes)} free"
        if not self.trainings:
            return f"disk: {total}", "time: no training"
        rate = f"{FLOPS_PER_CORE / 1e9:.0f} GFLOP/s on each of {self.cores} cores"
        basis = f"from the networks' arithmetic at {rate}, and the losses; within a factor of 3"
        hours = duration(self.training_hours)
        time = f"about {hours} for {self.trainings} trainings without a GPU ({basis})"
        return f"disk: {total}", f"time: {time}"


def forecast(study: Study, plan: Plan, findings: Findings) -> Forecast:
    """Estimate the resources that a study will need.

    Args:
        study: the study; its pairs' images must be sound.
        plan: the common grid.
        findings: of every file.
    """
    voxels = math.prod(plan.shape)
    hours, weights, trainings = 0.0, 0, 0
    for name, model in study.models.items():
        runs = len(study.trained_folds(name))
        parameters, flops = arithmetic(
            model.network, plan.moving_channels, plan.fixed_channels, plan.shape
        )
        both_ways = any(term.two_way for term in model.losses.regularisers)
        passes = 2 * PASSES if both_ways else PASSES
        per_voxel = passes * flops / FLOPS_PER_CORE + _loss_seconds(
            model, study.cohort.pairs, findings
        )
        step = SECONDS_PER_STEP + model.training.batch * voxels * per_voxel
        hours += runs * model.training.steps * step / (_cores() * 3600)
        weights += runs * parameters * 4 * (1 + COPIES)
        trainings += runs
    return Forecast(
        cases_bytes=sum(_case_bytes(pair, plan, findings) for pair in study.cohort.pairs),
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
    """Number of weights of a network, and floating-point operations of a registration per voxel.

    Args:
        settings: the network.
        moving: channels of the moving image.
        fixed: channels of the fixed image.
        shape: of the grid on which operations are counted; some networks fit only one grid.

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
    """Seconds that a training step takes outside the network, per voxel and pair."""
    labels = _labels_drawn(model.training.labels_per_pair, pairs, findings)
    total = SECONDS_PER_VOXEL + SECONDS_PER_LABEL * labels
    total += labels * sum(term.seconds for term in model.losses.labels)
    return total + sum(term.seconds for term in (*model.losses.images, *model.losses.regularisers))


def _labels_drawn(
    requested: int | Literal["all"], pairs: Sequence[Pair], findings: Findings
) -> float:
    """Labels of a pair in a step: the requested number, limited by what labelled pairs have."""
    counts = [count for pair in pairs if (count := len(agreement.common_keys(pair, findings)))]
    available = statistics.fmean(counts) if counts else 0.0
    return available if requested == "all" else min(float(requested), available)


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
    """Bytes of each kind of file that registration and evaluation write, over pairs and models."""
    export = study.config.export
    exports = {"transform": True} | {
        name: bool(getattr(export, name)) for name in type(export).model_fields
    }
    total = dict.fromkeys(
        (name for name, requested in exports.items() if requested and name != "points"), 0.0
    )
    for pair in study.cohort.pairs:
        transforms = [_transforms(study, pair, entry) for entry in study.registrars.values()]
        for name, needed in _pair_bytes(pair, voxels, findings).items():
            if name in total:
                total[name] += needed * (
                    sum(transforms)
                    if name == "transform"
                    else sum(count > 0 for count in transforms)
                )
    return {name: int(needed) for name, needed in total.items()}


def _transforms(study: Study, pair: Pair, registrar: Registrar) -> int:
    """Number of transforms of a pair; an ensemble also writes those of its members."""
    if pair.id not in study.cohort.registered:
        return 0
    folds = study.cohort.folds if pair.set == "test" else study.cohort.folds[:1]
    members = len(registrar.members(Path(), folds))
    return members + 1 if members > 1 else 1


def _pair_bytes(pair: Pair, voxels: int, findings: Findings) -> dict[str, float]:
    """Bytes of each kind of file of one pair."""
    moving, fixed = (findings[path, "image"] for path in (pair.moving, pair.fixed))
    moving_voxels, fixed_voxels = (math.prod(image.shape or ()) for image in (moving, fixed))
    field = PACKED * 12 * fixed_voxels
    return {
        "transform": 24.0 * voxels,
        "field": field,
        "warped_image": PACKED * 4 * moving.channels * fixed_voxels,
        "inverse": 24 * inverse_voxels(voxels) + PACKED * 12 * moving_voxels,
        "ras": field,
        "fsl": field,
        "learn2reg": field,
        "warped_labels": _labels_bytes(pair, findings, fixed_voxels),
    }


def inverse_voxels(voxels: int) -> float:
    """Voxels of an inverse on its finest grid; the inverse of a smooth field is coarser."""
    count, factor = WIDER * voxels, 1
    while factor < FINEST and count * 8 <= MOST_VOXELS:
        count, factor = count * 8, factor * 2
    return count


def _labels_bytes(pair: Pair, findings: Findings, voxels: int) -> float:
    """Compressed bytes of warped labels.

    Before compression a map has one byte per voxel, a stack one per voxel and label.
    """
    if pair.moving_labels is None or not pair.labelled:
        return 0.0
    return PACKED_LABELS * findings[pair.moving_labels, "labels"].channels * voxels


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def size(count: int) -> str:
    """A number of bytes, formatted for display."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.4g} TB"


def duration(hours: float) -> str:
    """A duration, formatted for display."""
    if hours < 1 / 60:
        return "a minute or less"
    if hours < 2:
        return f"{hours * 60:.0f} minutes"
    return f"{hours:.0f} hours" if hours < 72 else f"{hours / 24:.0f} days"
