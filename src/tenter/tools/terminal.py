"""Show Snakemake's messages during a run, reduced to what a user can act on.

Snakemake's own log file (`.snakemake/log`) keeps every message in full.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import shlex
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from tenter import files
from tenter.config import TrainSettings, custom
from tenter.steps import Step
from tenter.study import Study
from tenter.tools import jobs
from tenter.tools.staleness import Staleness, listed

SHOWN = 6
"""Number of lines of a failed job's log, and of failed jobs, that are shown."""

LONGEST = 160
"""Number of characters of an error that are repeated at the end of a run."""

STOPPING = "stopping: running jobs save what they have; Ctrl-C again ends them at once"
ENDING = "ending the running jobs; wait for a moment"

SUPERFLUOUS = (
    "Some jobs were triggered by provenance information",  # it advises to ignore stale results
    "Rules with provenance triggered jobs",
    "Exiting because a job execution failed",  # `closing` says which job failed, and why
)
WHILE_STOPPING = (
    "Will exit after finishing",
    "Shutting down",
    "Terminating processes",
    "Cancelling snakemake",
)

_COMMAND_FAILED = re.compile(r"CalledProcessError|returned non-zero exit status")
_PARAMETERS = re.compile(r"Params have changed since last execution.*", re.DOTALL)
_WORKFLOW_ERROR = re.compile(
    r"WorkflowError in file .*, line \d+:\n(.*?)((\n  File .*)*)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that ended with an error.

    Attributes:
        name: rule and wildcards.
        log: path of the log.
        lines: lines of the log about the error.
    """

    name: str
    log: Path | None
    lines: tuple[str, ...]

    def summary(self) -> str:
        """Return the error in short, and the log with more of it."""
        first = next(iter(self.lines), "its log is empty")
        short = first if len(first) <= LONGEST else f"{first[: LONGEST - 3]}..."
        return f"{short} ({self.log})" if self.log else short


class Screen(logging.Formatter):
    """Formats the messages that Snakemake logs to the terminal.

    Args:
        study: the study that is run.
        command: the command line that runs it.
    """

    def __init__(self, study: Study, command: str) -> None:
        super().__init__()
        self._study = study
        self._command = command
        self._full: logging.Formatter = logging.Formatter()
        self._failures: dict[int, Failure] = {}
        self._closed = False
        self.interruptions = 0

    @functools.cached_property
    def _staleness(self) -> Staleness:
        return Staleness(self._study)

    def attach(self, logger: logging.Logger) -> None:
        """Replace the formatter of messages that are written to the terminal."""
        for handler in logger.handlers:
            to_terminal = isinstance(handler, logging.StreamHandler)
            if to_terminal and not isinstance(handler, logging.FileHandler):
                self._full = handler.formatter or self._full
                handler.setFormatter(self)

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a message; an empty one is not shown."""
        event = str(getattr(record, "event", None) or "")
        if self._closed:
            return ""
        if event == "job_info":
            return self._started(record)
        if event == "job_error":
            return self._failed(record)
        if event == "job_finished":
            self._failures.pop(getattr(record, "job_id", -1), None)
        return self._message(record, event)

    def reason(self, job: str, snakemake_reason: str) -> str:
        """Say in short why a job runs.

        Args:
            job: rule and wildcards.
            snakemake_reason: the reason that Snakemake gives.
        """
        step = self._staleness.steps.get(job)
        causes = self._staleness.causes(step) if step is not None else []
        return "; ".join(causes) or shortened(snakemake_reason)

    def closing(self, logs: Sequence[str] | str = ()) -> str:
        """Return the final message of a run that did not finish; nothing is shown after it.

        Args:
            logs: Snakemake's own log files.
        """
        self._closed = True
        if self.interruptions:
            return self._stopped()
        failures = list(self._failures.values())
        if not failures:
            return (
                "the run did not finish, for the reason above; "
                "correct it and run the same command again"
            )
        title = "1 job failed:" if len(failures) == 1 else f"{len(failures)} jobs failed:"
        lines = [f"  {failure.name}: {failure.summary()}" for failure in failures]
        remainder = [f"  and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        log_lines = [
            f"all messages: {path}" for path in ([logs] if isinstance(logs, str) else logs)
        ]
        advice = "correct this and run the same command again: finished jobs are kept"
        return "\n".join([title, *lines[:SHOWN], *remainder, *log_lines, advice])

    def stop_on_interrupt(self, workflow: Any) -> None:  # noqa: ANN401 - Snakemake's
        """Let Ctrl-C end a run in order, also when it is pressed again.

        A terminal sends the signal to the jobs of this machine as well: they save and end.
        Snakemake then only has to wait for them, whereas an exception inside its event loop would
        end it with a traceback.
        """
        if threading.current_thread() is not threading.main_thread():
            return

        def interrupted(_number: int, _frame: FrameType | None) -> None:
            if self._closed:
                return
            self.interruptions += 1
            scheduler = getattr(workflow, "scheduler", None)
            if scheduler is None:
                _tell("stopped before the first job")
                raise SystemExit(128 + signal.SIGINT)
            if self.interruptions > 1:
                _tell(ENDING)
            elif workflow.local_exec:
                _tell(STOPPING)
                # In another thread: the current one may hold the lock that this call needs.
                threading.Thread(target=scheduler.exit_gracefully).start()
            else:  # jobs of a cluster do not get the signal: Snakemake cancels them
                _tell("stopping: the jobs of the cluster are cancelled")
                raise KeyboardInterrupt

        signal.signal(signal.SIGINT, interrupted)

    def _started(self, record: logging.LogRecord) -> str:
        values = record.__dict__
        job = " ".join([values["rule_name"], *map(str, values["wildcards"].values())])
        reason = self.reason(job, values["reason"])
        return self._full.format(logging.makeLogRecord(values | {"reason": reason}))

    def _failed(self, record: logging.LogRecord) -> str:
        values = record.__dict__
        step = self._step(values.get("output") or ())
        name = step.name if step else str(values["rule_name"])
        logs = [Path(str(path).partition(" ")[0]) for path in values.get("log") or ()]
        lines = [line for path in logs[:1] for line in errors(path)]
        ended = jobs.verdict(Path(), name.split(" ")[0], "_".join(name.split(" ")[1:]))
        failure = Failure(name, logs[0] if logs else None, (*lines[:SHOWN], *ended))
        self._failures[values["jobid"]] = failure
        if self.interruptions:
            return ""
        message = values.get("rule_msg")
        text = [
            f"[{time.asctime()}]",
            f"Error in {name}:",
            *([f"    {message}"] if message else []),
        ]
        text += [f"    {line}" for line in failure.lines]
        omitted = len(lines) - SHOWN
        text += [f"    and {omitted} more lines"] if omitted > 0 else []
        return "\n".join([*text, *(f"    log: {path}" for path in logs)])

    def _step(self, outputs: Sequence[object]) -> Step | None:
        written = {str(output).partition(" ")[0] for output in outputs}
        matches = (
            step for step in self._staleness.steps.values() if str(step.outputs[0]) in written
        )
        return next(matches, None)

    def _message(self, record: logging.LogRecord, event: str) -> str:
        text = self._full.format(record)
        # Snakemake repeats the whole text of a failed command; the error of its job follows.
        hidden = event == "error" and _COMMAND_FAILED.search(text) is not None
        if hidden or text.startswith(SUPERFLUOUS + (WHILE_STOPPING if self.interruptions else ())):
            return ""
        if "Directory cannot be locked" in text:
            return locked(self._command)
        if text.startswith("This was a dry-run"):
            return "\n".join([text, *self._staleness.lines()])
        refused = _WORKFLOW_ERROR.fullmatch(text)
        return refused[1] if refused else text

    def _stopped(self) -> str:
        """Say what was saved when the run was stopped."""
        steps: dict[int, list[int]] = {}
        other_jobs = 0
        for failure in self._failures.values():
            rule, *wildcards = failure.name.split(" ")
            step = self._saved(*wildcards) if rule == "train" else None
            if step is None:
                other_jobs += 1
            else:
                total = self._study.models[wildcards[0]].training.steps
                steps.setdefault(total, []).append(step)
        progress = [saved(reached, total) for total, reached in steps.items()]
        verb = "begins" if other_jobs == 1 else "begin"
        progress += (
            [f"{_number(other_jobs, 'other job' if steps else 'job')} {verb} anew"]
            if other_jobs
            else []
        )
        return f"stopped; {', '.join(progress) or 'no job was running'}; the same command continues"

    def _saved(self, model: str, fold: str) -> int | None:
        """Return the step from which a stopped training will continue; None if nothing is saved."""
        settings = TrainSettings.model_validate_json(self._study.settings("train", model))
        # The identity has the hash of the initial weights, and no paths.
        described = custom.portable(settings).model_dump(mode="json", exclude={"warm_start"})
        identity = {"settings": files.digest(described), "code": self._study.code("train", model)}
        folder = self._study.results / "checkpoints" / model / f"fold-{fold}"
        checkpoints = [files.read_json(path) for path in folder.glob("step-*.json")]
        matching = (
            checkpoint["step"]
            for checkpoint in checkpoints
            if identity.items() <= checkpoint["identity"].items()
        )
        return max(matching, default=None)


def saved(steps: Sequence[int], total: int) -> str:
    """Say how far stopped trainings are: `2 trainings saved at step 2 of 60`."""
    first, last = min(steps), max(steps)
    reached = f"step {first}" if first == last else f"steps {first} to {last}"
    return f"{_number(len(steps), 'training')} saved at {reached} of {total}"


def shortened(reason: str) -> str:
    """Shorten Snakemake's reason: no full settings and no long lists of files."""
    parts = _PARAMETERS.sub("parameters have changed", reason).split("; ")
    short_parts = []
    for part in parts:
        label, colon, names = part.partition(": ")
        short_parts.append(f"{label}: {listed(names.split(', '))}" if colon else part)
    return "; ".join(short_parts)


def errors(log: Path) -> list[str]:
    """Return the lines of a log that report an error, else its last line."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [line for line in lines if re.search(r"\bERROR\b", line)] or lines[-1:]


def locked(command: str) -> str:
    """Say what to do about a folder that Snakemake finds locked.

    Args:
        command: the command line that was refused.
    """
    processes = [str(number) for number in jobs.snakemakes(Path())]
    if processes:
        return (
            f"locked: another snakemake (process {', '.join(processes)}) is running this study; "
            "wait until it has ended, or stop it with Ctrl-C"
        )
    return (
        "locked by a snakemake that is not running on this machine (any more). If it is not "
        "running on another machine either, remove the lock and start again:\n"
        f"  {command} --unlock\n  {command}"
    )


def command_line(arguments: Sequence[str]) -> str:
    """Return the command that was typed, for repeating it."""
    return shlex.join(["snakemake", *arguments])


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _tell(text: str) -> None:
    """Write a line from a signal handler, where buffered streams must not be used."""
    os.write(sys.stderr.fileno(), f"\n{text}\n".encode())
