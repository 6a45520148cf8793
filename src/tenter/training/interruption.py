"""Requests to stop, by a signal or a deadline: the loop checks them after each step and exits.

A training that outlasts its cluster job asks Slurm to requeue the job and resumes when the job
starts again. The job keeps its id, so that Snakemake simply continues to wait for it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

TERMINATED = 128 + signal.SIGTERM
TIME_UP = 0
"""Stands for an exit code at the deadline; the lowest, so that a signal to any process wins."""
REQUEUED_WITHIN_S = 60.0
"""Longest wait, after asking Slurm to requeue the job, until Slurm ends this process."""

_EXIT_CODES = {
    signal.SIGTERM: TERMINATED,  # a scheduler takes the node back
    signal.SIGUSR1: TERMINATED,  # a scheduler warns that time is running out
    signal.SIGINT: 128 + signal.SIGINT,  # Ctrl-C
}

_log = logging.getLogger(__name__)


class TimeUp(SystemExit):
    """The training has reached its deadline; its checkpoint is written."""


@dataclass(slots=True)
class Stop:
    """Whether a stop was requested.

    Attributes:
        signalled: exit code of the signal received, or None.
        deadline: in seconds of `time.monotonic`; None: no deadline.
    """

    signalled: int | None = None
    deadline: float | None = None

    @property
    def due(self) -> bool:
        """Whether time is up."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    @property
    def code(self) -> int | None:
        """Exit code of the signal received, or `TIME_UP`; None: continue."""
        return TIME_UP if self.signalled is None and self.due else self.signalled


def leave(code: int) -> NoReturn:
    """End the process after its checkpoint is written.

    Args:
        code: of a `Stop`.

    Raises:
        SystemExit: always; `TimeUp` if there was no signal.
    """
    raise TimeUp(TERMINATED) if code == TIME_UP else SystemExit(code)


@contextlib.contextmanager
def stop_on_signals(deadline: float | None = None) -> Iterator[Stop]:
    """Turn SIGTERM, SIGUSR1 and the first SIGINT into a stop; only in the main thread.

    Args:
        deadline: in seconds of `time.monotonic`.
    """
    stop = Stop(deadline=deadline)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, _frame: object) -> None:
        stop.signalled = _EXIT_CODES[signal.Signals(number)]
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, ask) for number in _EXIT_CODES}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ends_at(deadline_s: float) -> float:
    """When a deadline is reached, in seconds of `time.monotonic`.

    Args:
        deadline_s: seconds since this process's Slurm job began, or from now outside a job.
    """
    return time.monotonic() - job_age_s() + deadline_s


def job_age_s(environment: Mapping[str, str] = os.environ) -> float:
    """Seconds since this process's Slurm job began; 0 outside a job or if Slurm does not answer.

    A job begins well before its training: two Snakemake processes start first, and imports from
    a slow file system take time.
    """
    job = environment.get("SLURM_JOB_ID")
    if job is None:
        return 0.0
    command = ["squeue", "--noheader", "--jobs", job, "--format=%M"]
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            command, capture_output=True, text=True, timeout=30, check=True
        )
        return duration_s(done.stdout.strip())
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        _log.warning(
            "Slurm does not report when job %s began (%s): its time is counted from now", job, error
        )
        return 0.0


def duration_s(text: str) -> float:
    """Seconds of a duration as Slurm writes it: `3:04`, `02:03:04` or `1-02:03:04`.

    Raises:
        ValueError: the text is not a duration.
    """
    days, _, clock = text.rpartition("-")
    seconds = 0
    for part in clock.split(":"):
        seconds = 60 * seconds + int(part)
    return float(86_400 * int(days or 0) + seconds)


@contextlib.contextmanager
def begun_anew(
    environment: Mapping[str, str] = os.environ, *, leads: bool = True
) -> Iterator[None]:
    """On `TimeUp` inside a Slurm job, requeue the job, so that training resumes when it restarts.

    Elsewhere, or if Slurm refuses, the process ends like a terminated one, and its caller decides
    what to do.

    Args:
        environment: of the process.
        leads: whether this process asks Slurm; the others of the job wait, because the first
            process to end would end them all.
    """
    try:
        yield
    except TimeUp:
        job = environment.get("SLURM_JOB_ID")
        if job is not None and (not leads or _requeued(job)):
            time.sleep(REQUEUED_WITHIN_S)  # Slurm ends this process meanwhile
        raise


def _requeued(job: str) -> bool:
    command = ["scontrol", "requeue", job]
    try:
        subprocess.run(  # noqa: S603 - fixed arguments
            command, capture_output=True, text=True, timeout=REQUEUED_WITHIN_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", None) or error
        _log.warning(
            "time is up, and Slurm job %s cannot be requeued (%s): it ends as failed",
            job,
            str(reason).strip(),
        )
        return False
    _log.info("time is up: Slurm job %s is requeued and goes on from its checkpoint", job)
    return True
