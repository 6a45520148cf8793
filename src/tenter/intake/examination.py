"""Reads each file of a cohort once, several at a time, and remembers the sound ones till they change."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tqdm import tqdm

from tenter import files
from tenter.config import LabelFiles
from tenter.errors import DataError
from tenter.formats.budgets import Budget
from tenter.intake import integrity
from tenter.intake.integrity import Finding, Findings, Kind
from tenter.records import Pair

Use = tuple[Path, Kind]

TABLES = 2**28
"""Bytes of memory that tables and transforms which are read at once may take together."""

GROWTH = 16
"""Bytes of memory for each byte of such a file."""


@dataclass(frozen=True, kw_only=True)
class Examiner:
    """How a cohort's files are read.

    Attributes:
        root: folder that remembered names are relative to.
        labels: how label files are read.
        workers: files read at a time.
        quick: read the headers of volumes only.
        memory: file that remembers sound files, or None.
        version: what is remembered under another version does not count.
    """

    root: Path
    labels: LabelFiles
    workers: int = 1
    quick: bool = False
    memory: Path | None = None
    version: str = ""
    _budget: Budget = field(default_factory=lambda: Budget(TABLES), init=False, compare=False, repr=False)

    def findings(self, pairs: Sequence[Pair]) -> Findings:
        """What every file of these rows is; those that have not changed are not read again."""
        uses = list(dict.fromkeys(use for pair in pairs for use in integrity.uses(pair).values()))
        stamps = {use: integrity.stamp(*use) for use in uses}
        known = self._remembered(stamps)
        found = known | self._read([use for use in uses if use not in known])
        if self.memory is not None and not self.quick:
            sound = [use for use in uses if found[use].sound and stamps[use]]
            entries = {self._name(use): [stamps[use], asdict(found[use])] for use in sound}
            files.write_json(self.memory, {"version": self.version, "files": entries})
        return {use: found[use] for use in uses}

    def _read(self, uses: Sequence[Use]) -> dict[Use, Finding]:
        with ThreadPoolExecutor(self.workers) as pool:
            results = pool.map(self._examine, uses)
            try:
                told = tqdm(results, "files", len(uses), unit="file", disable=None)
                return dict(zip(uses, told, strict=True))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _examine(self, use: Use) -> Finding:
        path, kind = use
        # Volumes are read in blocks: they take little, whatever their size.
        whole = kind in {"points", "transform"} and path.is_file()
        with self._budget.hold(GROWTH * path.stat().st_size if whole else 0):
            return integrity.examine(path, kind, labels=self.labels, quick=self.quick)

    def _name(self, use: Use) -> str:
        return f"{use[1]} {os.path.relpath(use[0], self.root)}"

    def _remembered(self, stamps: dict[Use, tuple[int, ...]]) -> dict[Use, Finding]:
        """Findings of an earlier check; none from a file that is no such memory."""
        if self.memory is None:
            return {}
        try:
            content = files.read_json(self.memory)
            entries = content["files"] if content["version"] == self.version else {}
            kept = {use: entries[self._name(use)] for use in stamps if self._name(use) in entries}
            same = {use: value for use, (stamp, value) in kept.items() if tuple(stamp) == stamps[use]}
            return {use: integrity.parse_finding(value) for use, value in same.items()}
        except (DataError, ValueError, KeyError, TypeError, AttributeError):
            return {}
