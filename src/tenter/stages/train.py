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
from tenter.config import Network, TrainSettings, custom
from tenter.errors import CheckpointError, DataError
from tenter.folds import Split, set_aside
from tenter.history import write_history
from tenter.losses import objective
from tenter.records import FINAL, Fault, Plan
from tenter.sampling import cohort
from tenter.sampling.cohort import Case
from tenter.tracking import Mirror, read_place
from tenter.training import loop, models, team
from tenter.training.checkpoints import Checkpoints
from tenter.training.devices import Execution, select_device
from tenter.training.interruption import begun_anew, job_age_s
from tenter.training.progress import kept_log
from tenter.training.step import Learner

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
    run_mode = Execution(execution == "compiled", memory_format == "channels_last")
    begin = time.monotonic()
    with team.joined(select_device(device)) as (peers, torch_device):
        grid = plans.read_plan(plan)
        all_cases, digest = _cohort(
            (images, labels), cases, torch_device, unlabelled=bool(settings.losses.images)
        )
        channels = _channels(all_cases[0])
        objective.require_equal_channels(channels["moving"], channels["fixed"], settings.losses)
        split = _split(all_cases, settings, fold)
        start = _warm_start(settings.warm_start, fold)
        identity = {"code": code, "fold": fold, **_identity(settings, digest, grid, start)}
        network = _network(settings, fold, all_cases[0], start).to(torch_device)
        checkpoint_store = Checkpoints(checkpoints, identity)
        if peers.leads:
            checkpoint_store.renew(fixed=("fold",))
        task = loop.Task(
            settings=settings,
            fold=fold,
            training=[case for case in all_cases if case.pair in set(split.training)],
            validation=[case for case in all_cases if case.pair in set(split.validation)],
            spacing_mm=grid.spacing_mm,
            checkpoint_s=checkpoint_s,
            log_every=log_every,
            deadline=None if deadline is None else begin - job_age_s() + deadline,
        )
        description = _description(task, split, grid, identity)
        learner = Learner(network, settings, grid.spacing_mm, team=peers, execution=run_mode)
        with contextlib.ExitStack() as stack:
            mirrors = []
            stack.enter_context(begun_anew(leads=peers.leads))
            if peers.leads:
                stack.enter_context(kept_log(checkpoints))
            if tracking is not None and peers.leads:
                mirror = Mirror(read_place(tracking), output.parent.name, description)
                mirrors.append(stack.enter_context(mirror))
            outcome = loop.fit(learner, task, checkpoint_store, mirrors)
        if peers.leads:
            _finish(output, outcome, description, settings.network)
            checkpoint_store.prune(1)
        peers.from_leader(None)  # all processes wait until the model is written


def _finish(
    output: Path, outcome: loop.Outcome, description: Mapping[str, Any], network: Network
) -> None:
    write_history(output / finished.HISTORY, outcome.history)
    results = {
        "steps": outcome.steps,
        "kept_step": outcome.kept,
        "seconds": round(outcome.seconds, 3),
    }
    models.copy_code(output, network)
    models.save(output, outcome.weights, dict(description) | results)


def _cohort(
    kinds: tuple[Sequence[Path], Sequence[Path]],
    root: Path,
    device: torch.device,
    *,
    unlabelled: bool,
) -> tuple[tuple[Case, ...], str]:
    """Load the cases that have both images and labels, and a digest of all their bytes."""
    image_entries, label_entries = (tables.verified(kind, root) for kind in kinds)
    pairs = sorted(image_entries.keys() & label_entries.keys())
    if not pairs:
        message = "the training part has no prepared pairs"
        raise DataError(Fault(str(root), message, "give it pairs with images and labels"))
    entries = [entry for pair in pairs for entry in (*image_entries[pair], *label_entries[pair])]
    digest = files.digest(sorted((entry.pair, entry.file, entry.sha256) for entry in entries))
    return cohort.load(root, pairs, device, unlabelled=unlabelled), digest


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


def _warm_start(folder: Path | None, fold: str) -> Path | None:
    """Return the folder of the initial weights: the same fold of a finished model, or `all`."""
    if folder is None:
        return None
    candidates = (folder, folder / f"fold-{fold}", folder / f"fold-{FINAL}")
    for candidate in candidates:
        if (candidate / finished.DESCRIPTION).is_file():
            return candidate
    names = f"{finished.DESCRIPTION}, fold-{fold} or fold-{FINAL}"
    fix = "name a finished model"
    raise CheckpointError(Fault(str(folder), f"warm_start holds no {names}", fix))


def _network(settings: TrainSettings, fold: str, case: Case, start: Path | None) -> nn.Module:
    """Create a network with weights drawn for this seed and fold, or those of another model."""
    digest = hashlib.sha256(f"{settings.seed}/{fold}".encode()).digest()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int.from_bytes(digest[:7]))
        moving, fixed = case.images
        channels = (moving.shape[0], fixed.shape[0])
        network = networks.on_grid(settings.network, channels, fixed.shape[1:])
    if start is not None:
        models.assign(network, models.weights(start), start / finished.WEIGHTS)
        _log.info("fold %s: starts from the weights of %s", fold, start)
    return network


def _channels(case: Case) -> dict[str, int]:
    return {"moving": case.images[0].shape[0], "fixed": case.images[1].shape[0]}


def _identity(
    settings: TrainSettings, digest: str, grid: Plan, start: Path | None
) -> dict[str, str]:
    """Return what the weights depend on, besides code and fold."""
    return {
        "settings": files.digest(
            custom.portable(settings).model_dump(mode="json", exclude={"warm_start"})
        ),
        "cohort": digest,
        "plan": plans.plan_digest(grid),
        "warm_start": finished.describe(start)["weights_sha256"] if start else "",
    }


def _description(
    task: loop.Task, split: Split, grid: Plan, identity: Mapping[str, str]
) -> dict[str, Any]:
    """Return the content of `model.json` that is known before training, without local paths."""
    settings = custom.portable(task.settings).model_dump(mode="json")
    if task.settings.warm_start is not None:
        settings["warm_start"] = task.settings.warm_start.name
    return {
        "fold": task.fold,
        "network": settings["network"],
        "channels": _channels(task.training[0]),
        "settings": settings,
        "plan": asdict(grid),
        "identity": dict(identity),
        **models.code_of(task.settings),
        "trained_on": list(split.training),
        "validated_on": list(split.validation),
        "left_out": list(split.left_out),
        "patients": {
            "trained_on": sorted({patient for case in task.training for patient in case.patients}),
            "validated_on": sorted(
                {patient for case in task.validation for patient in case.patients}
            ),
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
    """Return the commit of the package's repository, if it runs from one."""
    repository = Path(__file__).parents[3]
    if not (repository / ".git").exists():
        return None
    command = ["git", "-C", str(repository), "rev-parse", "HEAD"]
    try:
        completed = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603 - fixed words
    except (OSError, subprocess.SubprocessError):
        return None
    return completed.stdout.strip()
