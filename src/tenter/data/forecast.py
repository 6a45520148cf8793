"""What a study will take, roughly: bytes of results, hours of training.

Hours follow from the networks' arithmetic, counted without doing it.
"""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from tenter import config, networks
from tenter.data.integrity import Findings, uses
from tenter.records import Pair, Plan
from tenter.study import Study

FLOPS_PER_CORE = 50e9
"""Sustained in 3-D convolutions, float32, by a server's core; 30e9 (8 channels) to 100e9 (32) were seen."""

SECONDS_PER_STEP = 0.02
SECONDS_PER_VOXEL = 0.5e-6
"""What losses, warps and the optimiser add on one core: for each step, and each voxel of each pair in it."""

PASSES = 3.0
"""A training step's arithmetic over a registration's: the backward pass is twice the forward one."""

PACKED = 0.9
"""Size of gzip-compressed real numbers over their plain size."""

COPIES = 4
"""Weights, their average and Adam's two moments, in a checkpoint."""

PROBE = (32, 32, 32)
"""Grid on which a network's arithmetic is counted; it grows with the voxels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Rough needs of a study.

    Attributes:
        cases_bytes: prepared images and labels.
        models_bytes: weights and checkpoints.
        fields_bytes: transforms and what else `export` asks for.
        free_bytes: on the disk of the results.
        training_hours: of all models and folds, one after the other, on `cores`.
        trainings: how many models times folds (and seeds) are trained.
        cores: CPU cores that this process may use.
    """

    cases_bytes: int
    models_bytes: int
    fields_bytes: int
    free_bytes: int
    training_hours: float
    trainings: int
    cores: int

    @property
    def bytes(self) -> int:
        """All results together."""
        return self.cases_bytes + self.models_bytes + self.fields_bytes

    def lines(self) -> tuple[str, str]:
        """Two lines for people: disk and time."""
        parts = (("cases", self.cases_bytes), ("models", self.models_bytes), ("fields", self.fields_bytes))
        disk = ", ".join(f"{name} {size(value)}" for name, value in parts)
        total = f"about {size(self.bytes)} ({disk}); {size(self.free_bytes)} free"
        if not self.trainings:
            return f"disk: {total}", "time: no training"
        rate = f"{FLOPS_PER_CORE / 1e9:.0f} GFLOP/s on each of {self.cores} cores"
        basis = f"from the networks' arithmetic at {rate}; within a factor of 3"
        time = (
            f"about {_duration(self.training_hours)} for {self.trainings} trainings without a GPU ({basis})"
        )
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
        parameters, flops = arithmetic(model.network, plan.moving_channels, plan.fixed_channels)
        per_voxel = PASSES * flops / FLOPS_PER_CORE + SECONDS_PER_VOXEL
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


def arithmetic(settings: config.Network, moving: int, fixed: int) -> tuple[int, float]:
    """Weights of a network, and floating-point operations of a registration for each voxel of the grid.

    Args:
        settings: the network.
        moving: channels of the moving image.
        fixed: channels of the fixed image.
    """
    with FakeTensorMode(), torch.no_grad():
        network = networks.build(settings, moving + fixed)
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros((1, moving, *PROBE)), torch.zeros((1, fixed, *PROBE)))
        parameters = sum(weight.numel() for weight in network.parameters())
    return parameters, counter.get_total_flops() / math.prod(PROBE)


def existing(path: Path) -> Path:
    """A folder, or the nearest one above it that exists."""
    path = path.absolute()
    while not path.is_dir():
        path = path.parent
    return path


def _case_bytes(pair: Pair, plan: Plan, findings: Findings) -> int:
    labels = sum(len(findings[use].keys) for use in uses(pair).values())
    return math.prod(plan.shape) * (4 * (plan.moving_channels + plan.fixed_channels) + labels)


def _fields_bytes(study: Study, voxels: int, findings: Findings) -> int:
    export = study.config.export
    total = 0.0
    for pair in study.pairs:
        if pair.set == "train":
            continue
        moving, fixed = (findings[path, "image"] for path in (pair.moving, pair.fixed))
        points = math.prod(fixed.shape or ())
        members = 1 + len(study.folds) if pair.set == "test" else 1
        total += members * 24 * voxels
        total += (
            PACKED * 12 * points * export.field + PACKED * 4 * moving.channels * points * export.warped_image
        )
    return int(total * len(study.registering_models))


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


def _duration(hours: float) -> str:
    if hours < 1 / 60:
        return "a minute or less"
    if hours < 2:
        return f"{hours * 60:.0f} minutes"
    return f"{hours:.0f} hours" if hours < 72 else f"{hours / 24:.0f} days"
