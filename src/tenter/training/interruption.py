"""Being asked to stop, by a signal or by the clock: the loop looks at it after each step, and leaves.

A training that outlasts its cluster job goes on in the same job, begun anew: it asks Slurm to requeue
the job it runs in. The job keeps its id, so that whoever waits for it (Snakemake) just waits on.
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
"""In place of a signal's exit code; the least, so that among several processes a signal to one counts."""
REQUEUED_WITHIN_S = 60.0
"""Longest time between asking Slurm to requeue a job and being ended by it."""

_EXIT_CODES = {
    signal.SIGTERM: TERMINATED,  # a scheduler takes the node back
    signal.SIGUSR1: TERMINATED,  # a scheduler warns that time is running out
    signal.SIGINT: 128 + signal.SIGINT,  # Ctrl-C
}

_log = logging.getLogger(__name__)


class TimeUp(SystemExit):
    """The time that a training was given is over; its checkpoint is written."""


@dataclass(slots=True)
class Stop:
    """Whether a stop was asked for.

    Attributes:
        signalled: exit code of the signal that asked.
        deadline: when time is up, in seconds of `time.monotonic`; None is never.
    """

    signalled: int | None = None
    deadline: float | None = None

    @property
    def due(self) -> bool:
        """Whether time is up."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    @property
    def code(self) -> int | None:
        """Exit code of the signal that asked, or `TIME_UP`; None: go on."""
        return TIME_UP if self.signalled is None and self.due else self.signalled


def leave(code: int) -> NoReturn:
    """End the process, after its checkpoint.

    Args:
        code: of a `Stop`.

    Raises:
        SystemExit: always; `TimeUp` where no signal asked.
    """
    raise TimeUp(TERMINATED) if code == TIME_UP else SystemExit(code)


@contextlib.contextmanager
def stop_on_signals(deadline: float | None = None) -> Iterator[Stop]:
    """Turn SIGTERM, SIGUSR1 and the first SIGINT into a stop; outside the main thread, none is.

    Args:
        deadline: when time is up, in seconds of `time.monotonic`.
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


def job_age_s(environment: Mapping[str, str] = os.environ) -> float:
    """Seconds since the Slurm job that this process runs in began; 0 outside one, or if Slurm is silent.

    A job begins well before its training: two Snakemakes come first, and imports from a slow file system.
    """
    job = environment.get("SLURM_JOB_ID")
    if job is None:
        return 0.0
    command = ["squeue", "--noheader", "--jobs", job, "--format=%M"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)  # noqa: S603 - fixed words
        return duration_s(done.stdout.strip())
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        _log.warning("Slurm does not tell when job %s began (%s): its time is counted from now", job, error)
        return 0.0


def duration_s(text: str) -> float:
    """Seconds of a duration as Slurm writes it: `3:04`, `02:03:04` or `1-02:03:04`.

    Raises:
        ValueError: it is none.
    """
    days, _, clock = text.rpartition("-")
    seconds = 0
    for part in clock.split(":"):
        seconds = 60 * seconds + int(part)
    return float(86_400 * int(days or 0) + seconds)


@contextlib.contextmanager
def begun_anew(environment: Mapping[str, str] = os.environ, *, leads: bool = True) -> Iterator[None]:
    """Where time is up inside a Slurm job, have the job requeued: it begins anew and training goes on.

    Elsewhere, and where Slurm refuses, the process ends like one that was terminated, and who
    started it decides.

    Args:
        environment: of the process.
        leads: whether this one asks; others of the same job wait, as the first to end would end all.
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
        subprocess.run(command, capture_output=True, text=True, timeout=REQUEUED_WITHIN_S, check=True)  # noqa: S603 - fixed words
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or error
        _log.warning(
            "time is up, and Slurm job %s cannot be requeued (%s): it ends as failed", job, str(told).strip()
        )
        return False
    _log.info("time is up: Slurm job %s is requeued and goes on from its checkpoint", job)
    return True
