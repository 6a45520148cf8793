"""One training, from its prepared cases to its finished model; each process of a team runs it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tenter import finished
from tenter.config import TrainSettings
from tenter.history import write_history
from tenter.training import description, devices, fold_data, initial, loop, models
from tenter.training.checkpoints import Checkpoints
from tenter.training.fold_data import Sources
from tenter.training.interruption import begun_anew
from tenter.training.progress import kept_log
from tenter.training.recorder import Recorder
from tenter.training.step import Learner
from tenter.training.team import Team

Mirroring = Callable[[Mapping[str, Any]], AbstractContextManager[Recorder]]
"""Opens a recorder for the training that a description of a model describes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to train, from what, and where the results go.

    Attributes:
        settings: of the training.
        fold: the held-out fold, or `all` to train on all patients.
        sources: where its prepared cases are.
        code: fingerprint of the code.
        output: folder of the finished model.
        checkpoints: folder of checkpoints.
        execution: how the network is run.
        checkpoint_s: seconds between checkpoints.
        log_every: steps between reports.
        deadline: when to write a checkpoint and exit, in seconds of `time.monotonic`; None: never.
        mirroring: opens a further recorder; None without one.
    """

    settings: TrainSettings
    fold: str
    sources: Sources
    code: str
    output: Path
    checkpoints: Path
    execution: devices.Execution = devices.PLAIN
    checkpoint_s: float = 120.0
    log_every: int = 50
    deadline: float | None = None
    mirroring: Mirroring | None = None


def run(job: Job, team: Team, device: torch.device) -> None:
    """Train a network and write the model; resume an interrupted training.

    Args:
        job: what to train.
        team: the processes that train together; one of them writes the results.
        device: of this process.

    Raises:
        CheckpointError: checkpoints belong to another fold, or the initial weights do not fit.
        DataError: cases are missing, damaged, without labels or on different grids.
        DeviceError: the team cannot share the batches.
        OutputError: a result could not be written.
        TrainingError: the training cannot start, or did not converge.
    """
    settings = job.settings
    data = fold_data.load(job.sources, settings, job.fold, device)
    start = initial.warm_start(settings.warm_start, job.fold)
    identity = description.identity(settings, data, start, job.code)
    network = initial.network(settings, data, start).to(device)
    checkpoints = Checkpoints(job.checkpoints, identity)
    if team.leads:
        checkpoints.renew(fixed=("fold",))
    described = description.before_training(settings, data, identity)
    learner = Learner(network, settings, data.plan.spacing_mm, team=team, execution=job.execution)
    with contextlib.ExitStack() as stack:
        recorders: list[Recorder] = []
        stack.enter_context(begun_anew(leads=team.leads))
        if team.leads:
            stack.enter_context(kept_log(job.checkpoints))
        if team.leads and job.mirroring is not None:
            recorders.append(stack.enter_context(job.mirroring(described)))
        outcome = loop.fit(learner, _task(job, data), checkpoints, recorders)
    if team.leads:
        _finish(job, outcome, described)
        checkpoints.prune(1)
    team.from_leader(None)  # all processes wait until the model is written


def _task(job: Job, data: fold_data.FoldData) -> loop.Task:
    return loop.Task(
        settings=job.settings,
        fold=job.fold,
        training=data.training,
        validation=data.validation,
        spacing_mm=data.plan.spacing_mm,
        checkpoint_s=job.checkpoint_s,
        log_every=job.log_every,
        deadline=job.deadline,
    )


def _finish(job: Job, outcome: loop.Outcome, described: Mapping[str, Any]) -> None:
    write_history(job.output / finished.HISTORY, outcome.history)
    results = {
        "steps": outcome.steps,
        "kept_step": outcome.kept,
        "seconds": round(outcome.seconds, 3),
    }
    models.copy_code(job.output, job.settings.network)
    models.save(job.output, outcome.weights, dict(described) | results)
