"""The loop: the same weights whatever happens on the way."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from builders.training_cases import SPACING, case, settings
from tenter import networks
from tenter.errors import TrainingError
from tenter.records import Role
from tenter.sampling.cohort import Case, Side
from tenter.tensors import Field, Image
from tenter.training import loop
from tenter.training.checkpoints import Checkpoints
from tenter.training.interruption import TimeUp
from tenter.training.loop import Outcome, Task
from tenter.training.recorder import Recorder
from tenter.training.step import Learner

CHOSEN = settings(average=0.9, schedule="cosine", validation={"fraction": 0.1, "every": 3})
TASK = Task(
    settings=CHOSEN,
    fold="0",
    training=[case("p0"), case("p1", "b"), case("p2", "c")],
    validation=[case("p3", "d")],
    spacing_mm=SPACING,
    log_every=2,
)


def train(folder: Path, task: Task = TASK, recorders: Sequence[Recorder] = ()) -> Outcome:
    torch.manual_seed(5)
    learner = Learner(networks.build(task.settings.network, 2), task.settings, task.spacing_mm)
    return loop.fit(learner, task, Checkpoints(folder, {"fold": task.fold}), recorders)


class At:
    """A recorder that does something at a row."""

    def __init__(self, step: int, act: Callable[[], object]) -> None:
        self.step, self.act, self.steps = step, act, list[int]()

    def record(self, row: Mapping[str, float]) -> None:
        self.steps.append(int(row["step"]))
        if int(row["step"]) == self.step:
            self.act()


def timeless(outcome: Outcome) -> list[dict[str, float]]:
    return [
        {name: value for name, value in row.items() if name != "seconds"} for row in outcome.history
    ]


def same(one: Outcome, other: Outcome) -> bool:
    equal = all(torch.equal(value, other.weights[name]) for name, value in one.weights.items())
    return equal and timeless(one) == timeless(other)


def test_rows_come_at_reports_looks_and_the_end(tmp_path: Path) -> None:
    outcome = train(tmp_path)
    assert [int(row["step"]) for row in outcome.history] == [0, 2, 3, 4, 6]
    assert [int(row["step"]) for row in outcome.history if "val_tre_mm" in row] == [0, 3, 6]
    assert {
        "seconds",
        "learning_rate",
        "loss",
        "dice",
        "dice_weighted",
        "bending",
        "bending_weighted",
    } <= set(outcome.history[1])


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 143), (signal.SIGINT, 130)]
)
@pytest.mark.parametrize("step", [0, 3, 4])
def test_stopped_by_a_signal_and_resumed_it_ends_with_the_same_bits(
    tmp_path: Path, number: signal.Signals, code: int, step: int
) -> None:
    whole = train(tmp_path / "whole")
    with pytest.raises(SystemExit) as stopped:
        train(tmp_path / "cut", recorders=[At(step, lambda: os.kill(os.getpid(), number))])
    assert stopped.value.code == code
    assert [path.name for path in (tmp_path / "cut").glob("*.pt")] == [f"step-{step:09d}.pt"]
    assert same(train(tmp_path / "cut"), whole)


class Interrupting(Case):
    """A case that asks the training to stop when it is looked at."""

    @property
    def roles(self) -> tuple[Role, ...]:
        os.kill(os.getpid(), signal.SIGTERM)
        return ()


def test_a_look_that_is_broken_off_is_repeated(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")
    first = TASK.validation[0]
    asking = Interrupting(first.pair, first.patients, first.images, first.labels, first.boxes)
    with pytest.raises(SystemExit):
        train(tmp_path / "cut", replace(TASK, validation=[asking, first]))
    assert same(train(tmp_path / "cut"), whole)


class Asking(Case):
    """A case that asks the training to stop when it is learnt from."""

    def paste(self, side: Side, chosen: Sequence[int], target: Tensor) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        Case.paste(self, side, chosen, target)


def test_what_was_not_reported_yet_is_not_lost(tmp_path: Path) -> None:
    task = replace(TASK, validation=(), log_every=100)
    whole = train(tmp_path / "whole", task)
    asking = [
        Asking(one.pair, one.patients, one.images, one.labels, one.boxes) for one in TASK.training
    ]
    with pytest.raises(SystemExit):
        train(tmp_path / "cut", replace(task, training=asking))
    assert same(train(tmp_path / "cut", task), whole)


def slow(*_: object) -> None:
    time.sleep(2.2)


def test_in_slices_by_the_clock_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")
    slices = 0
    while slices < 20:
        task = replace(TASK, deadline=time.monotonic() + 2)
        try:
            cut = train(tmp_path / "cut", task, [At(step, slow) for step in (2, 4)])
        except TimeUp:
            slices += 1
        else:
            break
    assert slices > 1
    assert same(cut, whole)


def test_a_slice_too_short_for_one_step_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"did not suffice for one step from step 0; .*runtime\.margin_s"
    ):
        train(tmp_path, replace(TASK, deadline=time.monotonic()))
    assert not list(tmp_path.glob("*.pt"))


def test_handlers_are_put_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    train(tmp_path)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_going_on_from_the_end_only_gives_the_model_again(tmp_path: Path) -> None:
    first = train(tmp_path)
    watcher = At(-1, list)
    assert same(train(tmp_path, recorders=[watcher]), first)
    assert watcher.steps == []


def test_checkpoints_come_as_often_as_asked_and_change_nothing(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")
    often = train(tmp_path / "often", replace(TASK, checkpoint_s=0.0))
    assert same(often, whole)
    assert len(list((tmp_path / "often").glob("*.pt"))) == 2


def test_without_averaging_the_network_itself_is_the_model(tmp_path: Path) -> None:
    plain = replace(TASK, settings=settings(), validation=())
    assert not same(train(tmp_path / "plain", plain), train(tmp_path / "averaged"))


def poisoned(one: Case) -> Case:
    return replace(one, images=(one.images[0] * torch.nan, one.images[1]))


def test_one_bad_pair_is_skipped_and_counted(tmp_path: Path) -> None:
    task = replace(
        TASK, training=[poisoned(TASK.training[0]), *(case(f"q{index}") for index in range(7))]
    )
    outcome = train(tmp_path, task)
    assert sum(row.get("skipped", 0) for row in outcome.history) > 0
    assert all(bool(torch.isfinite(value).all()) for value in outcome.weights.values())


def test_too_many_bad_steps_stop_it_naming_them_and_the_checkpoint(tmp_path: Path) -> None:
    train(tmp_path, replace(TASK, settings=settings(steps=4), validation=()))
    broken = replace(
        TASK, settings=settings(steps=20), validation=(), training=[poisoned(TASK.training[0])]
    )
    with pytest.raises(
        TrainingError, match=r"step 4: p0; step 5: p0; step 6: p0.*last good checkpoint"
    ) as caught:
        train(tmp_path, broken)
    assert str(tmp_path) in str(caught.value)
    kept = Checkpoints(tmp_path, {"fold": "0"}).latest()
    assert kept is not None
    assert kept["step"] == 4


class Hungry(nn.Module):
    """A network that no GPU is large enough for."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, moving: Image, fixed: Image) -> Field:
        message = f"no memory for {moving.shape} and {fixed.shape}"
        raise torch.cuda.OutOfMemoryError(message)


def test_too_little_memory_is_told_with_the_sizes_that_took_it(tmp_path: Path) -> None:
    task = replace(TASK, validation=())
    learner = Learner(Hungry(), CHOSEN, SPACING)
    with pytest.raises(
        TrainingError, match=r"batch of 2 pairs of \(1, 10, 12, 8\).*lower training\.batch"
    ):
        loop.fit(learner, task, Checkpoints(tmp_path, {"fold": "0"}))


EVERYTHING: dict[str, Any] = {
    "augmentation": {
        "affine": 0.1,
        "pose": {"rotation_deg": 5, "scale": 0.1, "shear": 0.1, "translation_mm": 1},
        "deformation": {"amplitude_mm": 1, "spacing_mm": 6},
        "mirror": True,
        "intensity": {
            "moving": {"gamma": 0.3, "noise": 0.1, "bias": {"amplitude": 0.2, "spacing_mm": 8}},
            "fixed": {"blur_mm": 1, "gain": 0.2, "offset": 0.1, "noise": 0.1},
        },
    },
    "validation": {"fraction": 0.1, "every": 2, "measure": "tre_mm", "keep": "best", "patience": 5},
    "average": 0.9,
    "accumulate": 2,
    "labels_per_pair": "all",
    "warmup": 2,
    "schedule": "steps",
    "decay_at": (4,),
    "clip": 1.0,
}


@pytest.mark.parametrize("step", [3, 4])
def test_with_everything_on_it_resumes_with_the_same_bits(tmp_path: Path, step: int) -> None:
    task = replace(TASK, settings=settings(**EVERYTHING), log_every=1)
    whole = train(tmp_path / "whole", task)
    with pytest.raises(SystemExit):
        train(tmp_path / "cut", task, [At(step, lambda: os.kill(os.getpid(), signal.SIGTERM))])
    assert same(train(tmp_path / "cut", task), whole)


def worsening(**validation: Any) -> Task:
    """A training whose rate is so high that its second step is its best."""
    watched = {"fraction": 0.1, "every": 1, "measure": "tre_mm", **validation}
    return replace(TASK, settings=settings(steps=12, learning_rate=3.0, validation=watched))


def errors_mm(outcome: Outcome) -> list[float]:
    return [row["val_tre_mm"] for row in outcome.history]


def test_the_best_weights_are_those_of_their_look(tmp_path: Path) -> None:
    task = worsening(keep="best")
    outcome = train(tmp_path / "long", task)
    assert 0 < outcome.kept < outcome.steps == 12
    assert outcome.kept == 1 + int(np.argmin(errors_mm(outcome)[1:]))
    shorter = replace(task, settings=settings(steps=outcome.kept, learning_rate=3.0))
    assert same(
        replace(outcome, history=[]), replace(train(tmp_path / "short", shorter), history=[])
    )


def test_patience_ends_a_training_after_looks_that_were_no_better(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", worsening(keep="best"))
    outcome = train(tmp_path / "cut", worsening(keep="best", patience=3))
    assert outcome.kept + 3 == outcome.steps < 12
    assert errors_mm(outcome) == errors_mm(whole)[: outcome.steps + 1]


def test_a_training_that_patience_ended_stays_ended(tmp_path: Path) -> None:
    first = train(tmp_path, worsening(keep="best", patience=3))
    again = train(tmp_path, worsening(keep="best", patience=3))
    assert same(again, first)
    assert (again.steps, again.kept) == (first.steps, first.kept)


def test_keeping_the_best_without_anyone_to_watch_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = replace(worsening(keep="best"), validation=())
    with caplog.at_level(logging.WARNING):
        assert train(tmp_path, task).kept == 12
    assert "no patient is set aside" in caplog.text


def test_resuming_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(tmp_path)
    with caplog.at_level(logging.INFO):
        train(tmp_path)
    assert "training goes on from step 6" in caplog.text
