"""Who works on a study now: jobs of Slurm's, and processes on this machine."""

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
"""Flags of commands that name what they write."""

TAIL = 5
"""Lines of a failed job's log that are shown."""

_SLURM_ENDED = re.compile(r"slurmstepd(-[\w.-]+)?: error:")
"""How Slurm begins a line about a job that it ends; with the node's name where a machine has several."""

_ENDING = {"COMPLETING", "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"}


@dataclass(frozen=True, slots=True)
class Work:
    """What is under way in a working directory.

    Attributes:
        slurm: what Slurm says of each job, by its rule and wildcards joined by underscores.
        here: what tenter's processes on this machine write: the tables and folders that their flags name.
        silent: why Slurm said nothing, where it should have.
    """

    slurm: dict[str, str] = field(default_factory=dict)
    here: frozenset[str] = frozenset()
    silent: str = ""

    def on(self, job: str, output: Path) -> str:
        """What is done about a job now, such as `running (Slurm job 7)`; empty where nothing is.

        Args:
            job: its rule and wildcards, joined by underscores.
            output: the table or folder that its command writes.
        """
        if job in self.slurm:
            return self.slurm[job]
        return "running" if str(output) in self.here else ""


def look(folder: Path) -> Work:
    """Ask Slurm, where there is one, and this machine for the work that was started from a folder."""
    slurm, silent = _slurm(folder.resolve())
    return Work(slurm, frozenset(_here(folder.resolve())), silent)


def tail(log: Path) -> list[str]:
    """The last lines of a log."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return [line for line in text.splitlines() if line.strip()][-TAIL:]


def verdict(folder: Path, rule: str, wildcards: str) -> list[str]:
    """Why Slurm ended a rule's latest failed job, such as its time limit, where Slurm itself did.

    Args:
        folder: where snakemake was started.
        rule: its name.
        wildcards: joined by underscores.
    """
    logs = (folder / ".snakemake/slurm_logs" / f"rule_{rule}" / wildcards).glob("*.log")
    latest = max(logs, key=lambda log: log.stat().st_mtime, default=None)
    lines = latest.read_text(encoding="utf-8", errors="replace").splitlines() if latest else []
    return [line for line in lines if _SLURM_ENDED.match(line)][-1:]


def failed(lines: list[str]) -> bool:
    """Whether a log's last lines tell of an error, rather than break off."""
    return any("ERROR" in line or "Error" in line or _SLURM_ENDED.match(line) for line in lines)


def _slurm(folder: Path) -> tuple[dict[str, str], str]:
    """Snakemake names a job's rule and wildcards in the comment that it gives to Slurm."""
    if shutil.which("squeue") is None:
        return {}, ""
    command = ["squeue", "--me", "--noheader", "--format=%i|%T|%r|%Z|%k"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)  # noqa: S603 - fixed words
    except (OSError, subprocess.SubprocessError) as error:
        reason = str(getattr(error, "stderr", None) or error).strip().splitlines()[-1]
        return {}, f"Slurm does not answer ({reason}): what its jobs do is not known"
    found = {}
    for line in done.stdout.splitlines():
        number, state, reason, place, comment = line.split("|", 4)
        if Path(place) == folder and state not in _ENDING:
            found[comment.removeprefix("rule_").replace("_wildcards_", "_", 1)] = _said(number, state, reason)
    return found, ""


def _said(number: str, state: str, reason: str) -> str:
    if state == "RUNNING":
        return f"running (Slurm job {number})"
    return f"queued (Slurm job {number}, {reason})"


def _here(folder: Path) -> Iterator[str]:
    for _, words in _processes(folder):
        if any(Path(word).name == "tenter" for word in words[:2]):
            yield from _written(words)


def _processes(folder: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and command line of each process that runs in a folder."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve(strict=True) == folder:
                text = (process / "cmdline").read_text(errors="replace")
                yield int(process.name), text.rstrip("\0").split("\0")
        except OSError:  # another user's, or ended meanwhile
            continue


def _written(words: list[str]) -> Iterator[str]:
    """The paths that a command writes, by its flags; what it only reads is under way nowhere."""
    for word, following in itertools.pairwise([*words, ""]):
        flag, _, value = word.partition("=")
        if flag in WRITING:
            yield value or following


def lock(folder: Path) -> str:
    """Say that a folder is locked by a snakemake that no longer runs on this machine; empty where it is not.

    Args:
        folder: where snakemake was started.
    """
    if not any((folder / ".snakemake/locks").glob("*.lock")) or any(snakemakes(folder)):
        return ""
    return (
        "the folder is locked by a snakemake that does not run on this machine (any more): if it runs on no "
        "other one either, add --unlock to your snakemake line, run it once, and then without --unlock"
    )


def snakemakes(folder: Path) -> Iterator[int]:
    """Process ids of the snakemakes that were started from a folder on this machine, this one excepted."""
    for process, words in _processes(folder.resolve()):
        named = any(Path(word).name in {"snakemake", "__main__.py"} for word in words[:3])
        if (named or "snakemake" in words[:4]) and process not in {os.getpid(), os.getppid()}:
            yield process
