"""The training loop: sample, step, validate, checkpoint, stop on request, resume."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tenter.config import TrainSettings
from tenter.errors import TrainingError
from tenter.history import Row
from tenter.records import Fault
from tenter.sampling import batches, draws
from tenter.sampling.cohort import Case
from tenter.training import interruption, validation
from tenter.training.checkpoints import Checkpoints
from tenter.training.interruption import Stop, stop_on_signals
from tenter.training.optimiser import learning_rate
from tenter.training.progress import Progress
from tenter.training.recorder import History, Recorder
from tenter.training.selection import Selection
from tenter.training.step import PATIENCE, Learner

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The cases, settings and schedule of one training.

    Attributes:
        settings: of the training.
        fold: its name.
        training: training cases.
        validation: validation cases.
        spacing_mm: of the grid.
        checkpoint_s: seconds between checkpoints.
        log_every: steps between reports.
        deadline: when to write a checkpoint and exit, in seconds of `time.monotonic`; None: never.
    """

    settings: TrainSettings
    fold: str
    training: Sequence[Case]
    validation: Sequence[Case] = ()
    spacing_mm: tuple[float, float, float]
    checkpoint_s: float = 120.0
    log_every: int = 50
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished training.

    Attributes:
        weights: of the model.
        history: every report.
        steps: done.
        kept: step whose weights became the model; below `steps` if the best weights were kept.
        seconds: spent, summed over all resumptions.
    """

    weights: dict[str, Tensor]
    history: list[Row]
    steps: int
    kept: int
    seconds: float


@dataclass(slots=True)
class _Clock:
    """Progress of a training.

    Attributes:
        step: steps done.
        reported: steps done at the last report; -1 before the first.
        seconds: spent before this process.
        begin: when this process began.
        saved: when the last checkpoint was written.
    """

    step: int = 0
    reported: int = -1
    seconds: float = 0.0
    begin: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        return self.seconds + time.monotonic() - self.begin


class _Loop:
    def __init__(
        self, learner: Learner, task: Task, checkpoints: Checkpoints, recorders: Sequence[Recorder]
    ) -> None:
        self.learner = learner
        self.task = task
        self.checkpoints = checkpoints
        self.clock = _Clock()
        self.history = History()
        self.recorders = list(recorders)
        self.selection = Selection(task.settings.validation)
        self.outline = draws.outline(task.training, task.spacing_mm)
        self.total = task.settings.training.steps
        self.team = learner.team
        self.shares = self.team.shares(task.settings.training)
        self.first = 0

    def resume(self) -> None:
        """Resume from the newest valid checkpoint, if there is one."""
        state = self.team.from_leader(self.checkpoints.latest() if self.team.leads else None)
        if state is None:
            return
        self.learner.restore(state["learner"])
        self.clock = _Clock(state["step"], state["seen"], state["seconds"])
        self.first = self.clock.step
        self.history = History(state["history"])
        self.selection.restore(state["selection"])

    def save(self) -> None:
        self.require_finite()
        if not self.team.leads:
            return
        state: dict[str, Any] = {
            "step": self.clock.step,
            "seen": self.clock.reported,
            "seconds": self.clock.elapsed(),
            "history": self.history.rows,
            "learner": self.learner.state(),
            "selection": self.selection.state(),
        }
        self.checkpoints.write(self.clock.step, state)
        self.clock.saved = time.monotonic()

    def run(self, stop: Stop, progress: Progress) -> None:
        checks_each_step = self.learner.device.type == "cpu"  # no device to wait for
        while True:
            if self.due() and self.clock.reported < self.clock.step:
                self.report(stop, progress)
            code = self.team.agreed(stop.code)
            if code is not None:
                self.leave(code)
            if self.clock.step == self.total or self.selection.enough:
                break
            if time.monotonic() - self.clock.saved >= self.task.checkpoint_s:
                self.save()
            share = self.draw(self.clock.step).of(self.shares)
            batch = batches.apply(share, self.task.training, self.learner.device)
            self.learner.learn(batch, self.clock.step)
            self.clock.step += 1
            progress.advance()
            if checks_each_step:
                self.require_finite()

    def leave(self, code: int) -> None:
        """Write a checkpoint and end the process; it is an error if not a single step was done."""
        if code == interruption.TIME_UP and self.clock.step == self.first:
            message = f"the time of this job did not suffice for one step from step {self.first}"
            fix = (
                "give training more time (`runtime` of rule `train` in the profile) or lower "
                "runtime.margin_s"
            )
            raise TrainingError(Fault(f"fold {self.task.fold}", message, fix))
        self.save()
        _log.info("fold %s: asked to stop; step %d is saved", self.task.fold, self.clock.step)
        self.team.from_leader(
            None
        )  # torchrun would end the writing process if another left earlier
        interruption.leave(code)

    def due(self) -> bool:
        """Whether to report: every `log_every` steps, at validations, and at the end."""
        step = self.clock.step
        return (
            self.validates() or step == self.total or (step > 0 and step % self.task.log_every == 0)
        )

    def validates(self) -> bool:
        """Whether the validation cases are to be measured: regularly, at the start and the end."""
        every = self.task.settings.validation.every
        return bool(self.task.validation) and (
            self.clock.step % every == 0 or self.clock.step == self.total
        )

    def report(self, stop: Stop, progress: Progress) -> None:
        """Report to all recorders; a resumed training repeats an interrupted validation."""
        figures: Row | None = {}
        if self.validates():
            model, settings = self.learner.model, self.task.settings
            task = self.task
            figures = validation.measure(
                model, task.validation, settings, task.spacing_mm, stop, team=self.team
            )
        if figures is None:
            return
        self.require_finite()
        if self.validates():
            self.selection.look(figures, self.learner.model, self.clock.step)
        row: Row = {"step": float(self.clock.step), "seconds": round(self.clock.elapsed(), 3)}
        if self.clock.step:
            row["learning_rate"] = learning_rate(self.task.settings.training, self.clock.step - 1)
        row |= self.learner.means() | figures
        self.clock.reported = self.clock.step
        recorders: list[Recorder] = [self.history, progress, *self.recorders]
        for recorder in recorders:
            recorder.record(row)

    def require_finite(self) -> None:
        """Raise if too many steps in a row were not finite; none of them was applied or saved."""
        step = self.learner.failed_at()
        if step is None:
            return
        failures = [
            f"step {index}: {self.names(index)}" for index in range(step - PATIENCE + 1, step + 1)
        ]
        message = (
            f"loss or gradient not finite in {PATIENCE} steps in a row "
            f"({'; '.join(failures)}); the last good checkpoint is in {self.checkpoints.folder}"
        )
        fix = "inspect these pairs, or lower training.learning_rate or set training.clip"
        raise TrainingError(Fault(f"fold {self.task.fold}", message, fix))

    def names(self, step: int) -> str:
        pairs = dict.fromkeys(self.task.training[pair].pair for pair in self.draw(step).pairs)
        return ", ".join(pairs)

    def draw(self, step: int) -> draws.Draw:
        return draws.draw(self.outline, self.task.settings, fold=self.task.fold, step=step)


def fit(
    learner: Learner, task: Task, checkpoints: Checkpoints, recorders: Sequence[Recorder] = ()
) -> Outcome:
    """Train to the last step, resuming from a checkpoint if there is one.

    On a CPU with the same number of threads, an interrupted and resumed training ends with
    bitwise the same weights as an uninterrupted one.

    Args:
        learner: with its initial weights.
        task: cases, settings and schedule.
        checkpoints: of this training.
        recorders: receive every report of this process.

    Returns:
        the finished model's weights and history.

    Raises:
        CheckpointError: the checkpoints belong to another training.
        OutputError: a checkpoint could not be written.
        SystemExit: 143 or 130, after a signal or at the deadline, when a checkpoint was written.
        TrainingError: the loss or its gradient was not finite in several steps in a row, memory
            ran out, or there was no time for a single step before the deadline.
    """
    loop = _Loop(learner, task, checkpoints, recorders)
    loop.resume()
    name = f"fold {task.fold}"
    if loop.selection.needed and not task.validation:
        _log.warning(
            "%s: no patient is set aside, so it is trained to the last step and keeps that", name
        )
    leads = learner.team.leads
    with (
        stop_on_signals(task.deadline) as stop,
        Progress(name, loop.total, loop.clock.step, shown=leads) as progress,
    ):
        try:
            loop.run(stop, progress)
        except torch.cuda.OutOfMemoryError as error:
            pairs = len(loop.shares) // task.settings.training.accumulate
            raise TrainingError(_too_large(task, pairs)) from error
        seconds = loop.clock.elapsed()
        loop.save()
    weights, model_step = loop.selection.chosen(learner.model, loop.clock.step)
    if model_step < loop.clock.step or loop.clock.step < loop.total:
        _log.info(
            "%s: the model is that of step %d; training ended at step %d",
            name,
            model_step,
            loop.clock.step,
        )
    not_finite = [key for key, value in weights.items() if not bool(torch.isfinite(value).all())]
    if not_finite:
        names = ", ".join(not_finite[:5])
        message = f"the final weights are not finite ({names})"
        raise TrainingError(Fault(name, message, "lower training.learning_rate"))
    return Outcome(weights, loop.history.rows, loop.clock.step, model_step, seconds)


def _too_large(task: Task, pairs: int) -> Fault:
    moving, fixed = (tuple(image.shape) for image in task.training[0].images)
    training = task.settings.training
    message = (
        f"the GPU's memory does not hold a batch of {pairs} pairs of {moving} "
        f"and {fixed} voxels with {training.labels_per_pair} labels each"
    )
    fix = (
        "raise training.accumulate, lower training.batch, network.channels or "
        "training.labels_per_pair, set training.precision to bfloat16, or coarsen plan.spacing_mm"
    )
    return Fault(f"fold {task.fold}", message, fix)
