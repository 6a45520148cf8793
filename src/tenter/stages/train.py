"""Train one fold's network: prepared cases in, a finished model out."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from tenter import __version__, files, finished, networks, tables
from tenter.cases import plans
from tenter.config import TrainSettings
from tenter.errors import CheckpointError, DataError
from tenter.folds import Split, set_aside
from tenter.losses import objective
from tenter.records import Plan
from tenter.sampling import cohort
from tenter.sampling.cohort import Case
from tenter.tracking import Mirror, read_place
from tenter.training import loop, models, recorder, team
from tenter.training.checkpoints import Checkpoints
from tenter.training.devices import Execution, select_device
from tenter.training.interruption import begun_anew, job_age_s
from tenter.training.progress import kept_log
from tenter.training.step import Learner

ALL = "all"

_log = logging.getLogger(__name__)


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
    """Train a network on the cases of a fold's training part, going on where it was interrupted.

    SIGTERM, SIGUSR1 and SIGINT make it write a checkpoint after the step that runs, and exit
    with 143 (or 130); started again, it goes on from there. At its deadline it does the same by itself,
    and inside a Slurm job has that job requeued: a training may last longer than a job. Started by
    torchrun, its processes share each batch; one of them writes.

    Args:
        images: tables of the prepared images of the training part.
        labels: tables of its prepared labels.
        cases: folder of prepared cases.
        plan: the cohort's plan.
        fold: the fold that is not trained on, or `all`: no patient is held back then.
        settings: of the training, as JSON.
        code: fingerprint of this stage's code.
        output: folder of the finished model (model.safetensors, model.json, history.csv); the name
            of the folder above it is the model's name.
        checkpoints: folder of checkpoints; no declared output of a workflow.
        device: `auto`, `cpu` or `cuda`.
        execution: how the network is run: `eager`, or `compiled` by torch.compile.
        memory_format: how weights lie on a GPU: `contiguous`, or `channels_last`.
        checkpoint_s: seconds between checkpoints.
        log_every: steps between log lines and rows of the history.
        deadline: seconds after the beginning of the Slurm job, or outside one from now, after which to
            write a checkpoint and leave; default: never.
        tracking: where runs are mirrored while they go, as `start-tracking` wrote it.

    Raises:
        CheckpointError: checkpoints of another fold, or weights to start from that do not fit.
        DataError: cases that are missing, damaged, without labels or on different grids.
        DeviceError: a GPU was asked for and there is none.
        OutputError: a result could not be written.
        TrainingError: the loss was not finite in several steps in a row, memory ran out, losses compare
            images that differ in channels, or the deadline left no time for a single step.
    """
    how = Execution(execution == "compiled", memory_format == "channels_last")
    begin = time.monotonic()
    with team.joined(select_device(device)) as (comrades, where):
        grid = plans.read_plan(plan)
        found, digest = _cohort((images, labels), cases, where, unlabelled=bool(settings.losses.images))
        channels = _channels(found[0])
        objective.require_equal_channels(channels["moving"], channels["fixed"], settings.losses)
        split = _split(found, settings, fold)
        start = _warm_start(settings.warm_start, fold)
        identity = {"code": code, "fold": fold, **_identity(settings, digest, grid, start)}
        network = _network(settings, fold, found[0], start).to(where)
        kept = Checkpoints(checkpoints, identity)
        if comrades.leads:
            kept.renew(fixed=("fold",))
        task = loop.Task(
            settings=settings,
            fold=fold,
            training=[case for case in found if case.pair in set(split.training)],
            validation=[case for case in found if case.pair in set(split.validation)],
            spacing_mm=grid.spacing_mm,
            checkpoint_s=checkpoint_s,
            log_every=log_every,
            deadline=None if deadline is None else begin - job_age_s() + deadline,
        )
        description = _description(task, split, grid, identity)
        learner = Learner(network, settings, grid.spacing_mm, team=comrades, execution=how)
        with contextlib.ExitStack() as stack:
            mirrors = []
            stack.enter_context(begun_anew(leads=comrades.leads))
            if comrades.leads:
                stack.enter_context(kept_log(checkpoints))
            if tracking is not None and comrades.leads:
                mirror = Mirror(read_place(tracking), output.parent.name, description)
                mirrors.append(stack.enter_context(mirror))
            outcome = loop.fit(learner, task, kept, mirrors)
        if comrades.leads:
            _finish(output, outcome, description)
            kept.prune(1)
        comrades.told(None)  # nobody goes on before the model is there


def _finish(output: Path, outcome: loop.Outcome, description: Mapping[str, Any]) -> None:
    recorder.write_history(output / models.HISTORY, outcome.history)
    finished = {"steps": outcome.steps, "kept_step": outcome.kept, "seconds": round(outcome.seconds, 3)}
    models.save(output, outcome.weights, dict(description) | finished)


def _cohort(
    kinds: tuple[Sequence[Path], Sequence[Path]], root: Path, device: torch.device, *, unlabelled: bool
) -> tuple[tuple[Case, ...], str]:
    """The cases that both kinds of tables, of images and of labels, name, and a digest of all their bytes."""
    pictured, labelled = (tables.verified(kind, root) for kind in kinds)
    pairs = sorted(pictured.keys() & labelled.keys())
    if not pairs:
        message = f"{root}: the training part has no prepared pairs; training needs some"
        raise DataError(message)
    entries = [entry for pair in pairs for entry in (*pictured[pair], *labelled[pair])]
    digest = files.digest(sorted((entry.pair, entry.file, entry.sha256) for entry in entries))
    return cohort.load(root, pairs, device, unlabelled=unlabelled), digest


def _split(found: Sequence[Case], settings: TrainSettings, fold: str) -> Split:
    fraction = 0.0 if fold == ALL else settings.validation.fraction
    patients = {case.pair: case.patients for case in found}
    split = set_aside(patients, fraction, seed=settings.seed, fold=fold)
    if fraction and not split.validation:
        _log.warning("fold %s: too few patients to set some aside: no validation", fold)
    counts = len(split.training), len(split.validation), len(split.left_out)
    text = "fold %s: %d pairs to train on, %d for validation, %d left out (one patient is in validation)"
    _log.info(text, fold, *counts)
    return split


def _warm_start(folder: Path | None, fold: str) -> Path | None:
    """The folder of the finished fold whose weights training starts from: the same fold, or `all`."""
    if folder is None:
        return None
    candidates = (folder, folder / f"fold-{fold}", folder / f"fold-{ALL}")
    for candidate in candidates:
        if (candidate / finished.DESCRIPTION).is_file():
            return candidate
    names = f"{finished.DESCRIPTION}, fold-{fold} or fold-{ALL}"
    message = f"{folder}: warm_start holds no {names}; name a finished model"
    raise CheckpointError(message)


def _network(settings: TrainSettings, fold: str, case: Case, start: Path | None) -> nn.Module:
    """A network with weights drawn for this seed and fold, or those of another model."""
    words = hashlib.sha256(f"{settings.seed}/{fold}".encode()).digest()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int.from_bytes(words[:7]))
        moving, fixed = case.images
        channels = (moving.shape[0], fixed.shape[0])
        network = networks.on_grid(settings.network, channels, fixed.shape[1:])
    if start is not None:
        models.assign(network, models.weights(start), start / finished.WEIGHTS)
        _log.info("fold %s: starts from the weights of %s", fold, start)
    return network


def _channels(case: Case) -> dict[str, int]:
    return {"moving": case.images[0].shape[0], "fixed": case.images[1].shape[0]}


def _identity(settings: TrainSettings, digest: str, grid: Plan, start: Path | None) -> dict[str, str]:
    """What the weights depend on, besides code and fold."""
    return {
        "settings": files.digest(settings.model_dump(mode="json", exclude={"warm_start"})),
        "cohort": digest,
        "plan": plans.plan_digest(grid),
        "warm_start": finished.describe(start)["weights_sha256"] if start else "",
    }


def _description(task: loop.Task, split: Split, grid: Plan, identity: Mapping[str, str]) -> dict[str, Any]:
    """What `model.json` says, but for what is known at the end; no path of this machine."""
    settings = task.settings.model_dump(mode="json")
    if task.settings.warm_start is not None:
        settings["warm_start"] = task.settings.warm_start.name
    return {
        "fold": task.fold,
        "network": settings["network"],
        "channels": _channels(task.training[0]),
        "settings": settings,
        "plan": asdict(grid),
        "identity": dict(identity),
        "trained_on": list(split.training),
        "validated_on": list(split.validation),
        "left_out": list(split.left_out),
        "patients": {
            "trained_on": sorted({patient for case in task.training for patient in case.patients}),
            "validated_on": sorted({patient for case in task.validation for patient in case.patients}),
        },
        "provenance": {
            "code": identity["code"],
            "tenter": __version__,
            "commit": _commit(),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "threads": torch.get_num_threads(),
        },
    }


def _commit() -> str | None:
    """The commit of the package's own repository, where it runs from one."""
    here = Path(__file__).parents[3]
    if not (here / ".git").exists():
        return None
    command = ["git", "-C", str(here), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603 - fixed words
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
