"""Find the Slurm jobs and local processes that are working on a study."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

WRITING = {"--output", "--table"}
"""Flags of commands that name their outputs."""

TAIL = 5
"""Number of lines of a failed job's log that are shown."""

_SLURM_ENDED = re.compile(r"slurmstepd(-[\w.-]+)?: error:")
"""Start of Slurm's log lines about a job that it ends; some contain the node's name."""

_ENDING = {
    "COMPLETING",
    "COMPLETED",
    "CANCELLED",
    "FAILED",
    "TIMEOUT",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
}


@dataclass(frozen=True, slots=True)
class Work:
    """The work in progress in a working directory.

    Attributes:
        slurm: state of each Slurm job, by its rule and wildcards joined by underscores.
        here: tables and folders that tenter's processes on this machine are writing.
        silent: why Slurm did not answer; empty if it did or is not installed.
    """

    slurm: dict[str, str] = field(default_factory=dict)
    here: frozenset[str] = frozenset()
    silent: str = ""

    def on(self, job: str, output: Path) -> str:
        """Return the state of a job, such as `running (Slurm job 7)`; empty if it does not run.

        Args:
            job: its rule and wildcards, joined by underscores.
            output: the table or folder that its command writes.
        """
        if job in self.slurm:
            return self.slurm[job]
        return "running" if str(output) in self.here else ""


def look(folder: Path) -> Work:
    """Find the work that was started from a folder, in Slurm (if installed) and on this machine."""
    slurm, silent = _slurm(folder.resolve())
    return Work(slurm, frozenset(_local_outputs(folder.resolve())), silent)


def tail(log: Path) -> list[str]:
    """Return the last lines of a log."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return [line for line in text.splitlines() if line.strip()][-TAIL:]


def verdict(folder: Path, rule: str, wildcards: str) -> list[str]:
    """Return Slurm's reason if it ended a rule's latest failed job itself, such as a time limit.

    Args:
        folder: where snakemake was started.
        rule: name of the rule.
        wildcards: its wildcards, joined by underscores.
    """
    logs = (folder / ".snakemake/slurm_logs" / f"rule_{rule}" / wildcards).glob("*.log")
    latest = max(logs, key=lambda log: log.stat().st_mtime, default=None)
    lines = latest.read_text(encoding="utf-8", errors="replace").splitlines() if latest else []
    return [line for line in lines if _SLURM_ENDED.match(line)][-1:]


def failed(lines: list[str]) -> bool:
    """Whether a log's last lines report an error, rather than an interruption."""
    return any("ERROR" in line or "Error" in line or _SLURM_ENDED.match(line) for line in lines)


def _slurm(folder: Path) -> tuple[dict[str, str], str]:
    """Return states of jobs by the comment in which Snakemake names the rule and wildcards."""
    if shutil.which("squeue") is None:
        return {}, ""
    command = ["squeue", "--me", "--noheader", "--format=%i|%T|%r|%Z|%k"]
    try:
        completed = subprocess.run(  # noqa: S603 - fixed arguments
            command, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        reason = str(getattr(error, "stderr", None) or error).strip().splitlines()[-1]
        return {}, f"Slurm does not answer ({reason}): the state of its jobs is not known"
    states = {}
    for line in completed.stdout.splitlines():
        number, state, reason, directory, comment = line.split("|", 4)
        if Path(directory) == folder and state not in _ENDING:
            states[comment.removeprefix("rule_").replace("_wildcards_", "_", 1)] = _state_text(
                number, state, reason
            )
    return states, ""


def _state_text(number: str, state: str, reason: str) -> str:
    if state == "RUNNING":
        return f"running (Slurm job {number})"
    return f"queued (Slurm job {number}, {reason})"


def _local_outputs(folder: Path) -> Iterator[str]:
    for _, arguments in _processes(folder):
        if any(Path(argument).name == "tenter" for argument in arguments[:2]):
            yield from _output_paths(arguments)


def _processes(folder: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the id and the command line of each process that runs in a folder."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve(strict=True) == folder:
                text = (process / "cmdline").read_text(errors="replace")
                yield int(process.name), text.rstrip("\0").split("\0")
        except OSError:  # another user's process, or one that has ended
            continue


def _output_paths(arguments: list[str]) -> Iterator[str]:
    """Yield the paths that a command writes, according to its flags; not those that it reads."""
    for argument, following in itertools.pairwise([*arguments, ""]):
        flag, _, value = argument.partition("=")
        if flag in WRITING:
            yield value or following


def lock(folder: Path) -> str:
    """Say that a folder is locked by a snakemake that no longer runs here; else empty.

    Args:
        folder: where snakemake was started.
    """
    if not any((folder / ".snakemake/locks").glob("*.lock")) or any(snakemakes(folder)):
        return ""
    return (
        "the folder is locked by a snakemake that is not running on this machine (any more): if it "
        "is not running on another machine either, add --unlock to your snakemake line, run it "
        "once, and then without --unlock"
    )


def snakemakes(folder: Path) -> Iterator[int]:
    """Yield the ids of other snakemake processes on this machine that run in a folder."""
    for process, arguments in _processes(folder.resolve()):
        is_snakemake = any(
            Path(argument).name in {"snakemake", "__main__.py"} for argument in arguments[:3]
        )
        if (is_snakemake or "snakemake" in arguments[:4]) and process not in {
            os.getpid(),
            os.getppid(),
        }:
            yield process
