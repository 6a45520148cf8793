"""Reads each file of a cohort once, several at a time; remembers valid ones until they change."""

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
"""Memory in bytes that all tables and transforms being read may take together."""

GROWTH = 16
"""Bytes of memory per byte of such a file."""


@dataclass(frozen=True, kw_only=True)
class Examiner:
    """How a cohort's files are read.

    Attributes:
        root: folder that remembered names are relative to.
        labels: how label files are read.
        workers: number of files read at a time.
        quick: read the headers of volumes only.
        memory: file that records the findings of valid files, or None.
        version: of the code; findings recorded by another version are ignored.
    """

    root: Path
    labels: LabelFiles
    workers: int = 1
    quick: bool = False
    memory: Path | None = None
    version: str = ""
    _budget: Budget = field(
        default_factory=lambda: Budget(TABLES), init=False, compare=False, repr=False
    )

    def findings(self, pairs: Sequence[Pair], others: Sequence[Use] = ()) -> Findings:
        """Findings of every file of these rows; files that have not changed are not read again.

        Args:
            pairs: the rows.
            others: files that are named elsewhere.
        """
        named = [use for pair in pairs for use in integrity.uses(pair).values()]
        uses = list(dict.fromkeys([*named, *others]))
        stamps = {use: integrity.stamp(*use) for use in uses}
        known = self._remembered(stamps)
        findings = known | self._read([use for use in uses if use not in known])
        if self.memory is not None and not self.quick:
            sound = [use for use in uses if findings[use].sound and stamps[use]]
            entries = {self._name(use): [stamps[use], asdict(findings[use])] for use in sound}
            files.write_json(self.memory, {"version": self.version, "files": entries})
        return {use: findings[use] for use in uses}

    def _read(self, uses: Sequence[Use]) -> dict[Use, Finding]:
        with ThreadPoolExecutor(self.workers) as pool:
            results = pool.map(self._examine, uses)
            try:
                progress = tqdm(results, "files", len(uses), unit="file", disable=None)
                return dict(zip(uses, progress, strict=True))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _examine(self, use: Use) -> Finding:
        path, kind = use
        # Volumes are read in blocks and take little memory, whatever their size.
        at_once = kind in {"points", "transform", "map"} and path.is_file()
        with self._budget.hold(GROWTH * path.stat().st_size if at_once else 0):
            return integrity.examine(path, kind, labels=self.labels, quick=self.quick)

    def _name(self, use: Use) -> str:
        return f"{use[1]} {os.path.relpath(use[0], self.root)}"

    def _remembered(self, stamps: dict[Use, tuple[int, ...]]) -> dict[Use, Finding]:
        """Findings of an earlier check; none if the file does not hold such findings."""
        if self.memory is None:
            return {}
        try:
            content = files.read_json(self.memory)
            entries = content["files"] if content["version"] == self.version else {}
            remembered = {
                use: entries[self._name(use)] for use in stamps if self._name(use) in entries
            }
            unchanged = {
                use: value
                for use, (stamp, value) in remembered.items()
                if tuple(stamp) == stamps[use]
            }
            return {use: integrity.parse_finding(use[0], value) for use, value in unchanged.items()}
        except (DataError, ValueError, KeyError, TypeError, AttributeError):
            return {}
