"""Stopping by signal and by the clock; how a Slurm job begins anew is shown in tests/cluster."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time

import pytest

from tenter.training.interruption import (
    TERMINATED,
    TIME_UP,
    Stop,
    TimeUp,
    begun_anew,
    duration_s,
    job_age_s,
    leave,
    stop_on_signals,
)


def test_nothing_asks_until_the_deadline() -> None:
    stop = Stop(deadline=time.monotonic() + 60)
    assert (stop.due, stop.code) == (False, None)
    stop.deadline = time.monotonic()
    assert (stop.due, stop.code) == (True, TIME_UP)


def test_time_that_is_up_is_told_from_a_signal() -> None:
    with pytest.raises(TimeUp):
        leave(TIME_UP)
    with pytest.raises(SystemExit) as left:
        leave(130)
    assert (type(left.value), left.value.code) == (SystemExit, 130)


def test_a_signal_is_told_even_after_the_deadline() -> None:
    with stop_on_signals(time.monotonic()) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.code == 130


def test_a_thread_has_its_deadline_and_no_signals() -> None:
    found: list[int | None] = []

    def work() -> None:
        with stop_on_signals(time.monotonic()) as stop:
            found.append(stop.code)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [TIME_UP]


def test_of_several_processes_one_asks_slurm_and_the_others_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tenter.training.interruption.REQUEUED_WITHIN_S", 0.2)
    begin = time.monotonic()
    with pytest.raises(TimeUp), begun_anew({"SLURM_JOB_ID": "7", "PATH": ""}, leads=False):
        raise TimeUp(TERMINATED)
    assert time.monotonic() - begin > 0.2


def test_outside_slurm_time_that_is_up_ends_the_process() -> None:
    begin = time.monotonic()
    with pytest.raises(TimeUp), begun_anew({}):
        raise TimeUp(TERMINATED)
    assert time.monotonic() - begin < 5


def test_a_job_that_cannot_be_requeued_ends_and_says_why(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with caplog.at_level(logging.WARNING), pytest.raises(TimeUp), begun_anew({"SLURM_JOB_ID": "7"}):
        raise TimeUp(TERMINATED)
    assert "Slurm job 7 cannot be requeued (" in caplog.text
    assert "scontrol" in caplog.text


@pytest.mark.parametrize(
    ("text", "seconds"), [("0:07", 7), ("3:04", 184), ("02:03:04", 7384), ("1-02:03:04", 93784)]
)
def test_durations_as_slurm_writes_them(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


def test_a_job_whose_age_is_not_told_begins_now(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert job_age_s({}) == 0
    monkeypatch.setenv("PATH", "")
    assert job_age_s({"SLURM_JOB_ID": "7"}) == 0
    assert "Slurm does not report when job 7 began" in caplog.text


def test_a_signal_requeues_nothing() -> None:
    with pytest.raises(SystemExit) as left, begun_anew({"SLURM_JOB_ID": "7"}):
        raise SystemExit(143)
    assert type(left.value) is SystemExit
