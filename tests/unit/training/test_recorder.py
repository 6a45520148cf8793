"""Histories, progress and devices: what a training says of itself."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest

from tenter.errors import DeviceError
from tenter.history import read_history, write_history
from tenter.training.devices import select_device
from tenter.training.progress import Progress
from tenter.training.recorder import History, Recorder


def test_a_history_comes_back_with_every_digit(tmp_path: Path) -> None:
    rows = [{"step": 0.0, "val_dice": 1 / 3}, {"step": 50.0, "loss": 0.1 + 0.2}]
    write_history(tmp_path / "h.csv", rows)
    assert read_history(tmp_path / "h.csv") == rows
    assert (tmp_path / "h.csv").read_text().splitlines()[:2] == [
        "step,val_dice,loss",
        "0,0.3333333333333333,",
    ]


def test_what_is_not_finite_is_left_empty(tmp_path: Path) -> None:
    write_history(tmp_path / "h.csv", [{"step": 1.0, "loss": math.nan, "label": math.inf}])
    assert read_history(tmp_path / "h.csv") == [{"step": 1.0}]


def test_histories_and_progress_are_recorders() -> None:
    with Progress("fold 0", 3) as progress:
        assert isinstance(progress, Recorder)
    assert isinstance(History(), Recorder)


def test_progress_logs_a_line_with_figures_pace_and_what_is_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    row = {"step": 50.0, "seconds": 1.0, "loss": 0.51234, "label_weighted": 1.0, "skipped": 0.0}
    with caplog.at_level(logging.INFO), Progress("fold 0", 100) as progress:
        progress.record(row)
    assert "fold 0: step 50/100, loss 0.5123," in caplog.text
    assert "s/step" in caplog.text
    assert "skipped" not in caplog.text


def test_a_gpu_that_is_not_there_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert select_device("auto").type == select_device("cpu").type == "cpu"
    with pytest.raises(DeviceError, match="no GPU") as caught:
        select_device("cuda")
    assert caught.value.exit_code == 2
