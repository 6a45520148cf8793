"""Train one fold's network: prepared cases in, a finished model out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Literal

from tenter.config import TrainSettings
from tenter.tracking import Mirror, read_place
from tenter.training import interruption, job, team
from tenter.training.devices import Execution, select_device
from tenter.training.fold_data import Sources
from tenter.training.recorder import Recorder


def train(  # noqa: PLR0913 - flags of a command
    *,
    images: tuple[Path, ...],
    labels: tuple[Path, ...],
    cases: Path,
    plan: Path,
    fold: str,
    settings: TrainSettings,
    code: str,
    output: Path,
    checkpoints: Path,
    device: str = "auto",
    execution: Literal["eager", "compiled"] = "eager",
    memory_format: Literal["contiguous", "channels_last"] = "contiguous",
    checkpoint_s: float = 120.0,
    log_every: int = 50,
    deadline: float | None = None,
    tracking: Path | None = None,
) -> None:
    """Train a network on the training cases of a fold; an interrupted training is resumed.

    SIGTERM, SIGUSR1 and SIGINT make it write a checkpoint after the current step and exit
    with 143 (or 130); started again, it resumes from there. At its deadline it does the same by
    itself, and inside a Slurm job requeues that job: a training may last longer than a job. If
    started by torchrun, its processes share each batch, and one of them writes the results.

    Args:
        images: Tables of the prepared images of the training cases.
        labels: Tables of the prepared labels of the training cases.
        cases: Folder of prepared cases.
        plan: Plan of the cohort.
        fold: The held-out fold, or `all` to train on all patients.
        settings: Settings of the training (JSON).
        code: Fingerprint of this stage's code.
        output: Folder of the finished model (model.safetensors, model.json, history.csv); the name
            of its parent folder is the model's name.
        checkpoints: Folder of checkpoints; not a declared output of the workflow.
        device: `auto`, `cpu` or `cuda`.
        execution: How the network runs: `eager`, or `compiled` by torch.compile.
        memory_format: Memory layout of weights on a GPU: `contiguous` or `channels_last`.
        checkpoint_s: Seconds between checkpoints.
        log_every: Steps between log lines and rows of the history.
        deadline: Seconds after which to write a checkpoint and exit, counted from the start of the
            Slurm job, or from now outside of one; default: never.
        tracking: Record of the tracking server, as `start-tracking` wrote it, to mirror the run to.

    Raises:
        CheckpointError: checkpoints belong to another fold, or the initial weights do not fit.
        DataError: cases are missing, damaged, without labels or on different grids.
        DeviceError: a GPU was requested but none is available.
        OutputError: a result could not be written.
        TrainingError: the loss was not finite in several consecutive steps, memory ran out, losses
            compare images that differ in channels, or the deadline left no time for a single step.
    """
    ends_at = None if deadline is None else interruption.ends_at(deadline)

    with team.joined(select_device(device)) as (processes, own_device):
        training = job.Job(
            settings=settings,
            fold=fold,
            sources=Sources(images=images, labels=labels, cases=cases, plan=plan),
            code=code,
            output=output,
            checkpoints=checkpoints,
            execution=Execution(execution == "compiled", memory_format == "channels_last"),
            checkpoint_s=checkpoint_s,
            log_every=log_every,
            deadline=ends_at,
            mirroring=None if tracking is None else partial(_mirror, tracking, output.parent.name),
        )
        job.run(training, processes, own_device)


def _mirror(
    tracking: Path, model: str, described: Mapping[str, Any]
) -> AbstractContextManager[Recorder]:
    return Mirror(read_place(tracking), model, described)
