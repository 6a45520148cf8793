"""Reports faults of files once each, at the manifest row that names the files.

In a table of subjects one row belongs to many pairs; a fault of a pair names the pair.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tenter import manifest, spelling
from tenter.config import Config
from tenter.intake import agreement, baseline_files, integrity
from tenter.intake.integrity import Findings
from tenter.records import Fault, Pair
from tenter.study import StudyCohort
from tenter.study import cohort as study_cohort

Use = tuple[Path, integrity.Kind]
Cause = tuple[integrity.Kind, str, str, str]
"""The kind of file, and the severity, message and fix of its fault."""


@dataclass(frozen=True)
class Table:
    """The valid rows of a manifest, and the errors in the others.

    Attributes:
        path: the manifest.
        cohort: its valid rows.
        faults: errors in the table itself, whatever its files hold.
    """

    path: Path
    cohort: StudyCohort
    faults: tuple[Fault, ...]

    @classmethod
    def read(cls, config: Path, settings: Config) -> Table:
        """Read the manifest that a configuration names."""
        cohort, faults = study_cohort.scan(settings, config)
        return cls(cohort.manifest, cohort, faults)

    def complaints(self, settings: Config, findings: Findings) -> Iterator[Fault]:
        """All faults of files: of each file, within a pair, and across the cohort."""
        if self.cohort.subjects and settings.plan.alignment == "file":
            fix = "use `header`, `centre` or `mass` in `plan.alignment`"
            yield Fault(str(self.path), "names subjects, so pairs have no `initial_transform`", fix)
        yield from self._of_files(findings)
        yield from baseline_files.faults(self.cohort, findings)
        yield from self._of_pairs(settings, findings)
        yield from self._of_labels(settings, findings)
        for pair, fault in agreement.leaks(self.cohort.pairs, findings):
            yield self._in_row(pair, fault)
        for pair, fault in agreement.misnamed(self.cohort.pairs, findings):
            yield self._in_row(pair, fault)
        channels = [
            fault for side in ("moving", "fixed") for fault in self._of_channels(findings, side)
        ]
        yield from {(fault.row, fault.column): fault for fault in channels}.values()

    def named(self, path: Path) -> str:
        """A file's path relative to the manifest's folder, free of the machine's other folders."""
        return os.path.relpath(path, self.path.parent)

    def _in_row(self, pair: Pair, fault: Fault) -> Fault:
        """The fault of a column as one of the manifest's row."""
        row, column = manifest.place(pair, fault.column or "")
        return replace(fault, file=str(self.path), row=row, column=column)

    def _of_files(self, findings: Findings) -> Iterator[Fault]:
        """Faults of single files, each reported at the first row that names the file."""
        rows: dict[Use, list[tuple[Pair, str]]] = defaultdict(list)
        for pair in self.cohort.pairs:
            for column, use in integrity.uses(pair).items():
                rows[use].append((pair, column))
        faults: dict[Cause, list[Fault]] = defaultdict(list)
        for use, named in rows.items():
            pair, column = named[0]
            first_row = manifest.place(pair, column)[0]
            other_rows = sorted({manifest.place(*entry)[0] for entry in named[1:]} - {first_row})
            note = f" (also in rows {some(other_rows)})" if other_rows else ""
            for fault in findings[use].faults:
                near = "" if os.path.lexists(use[0]) else spelling.nearby(use[0])
                clause = f"; {near}" if near else ""
                message = f"{self.named(use[0])}: {_within(fault)}{fault.message}{clause}{note}"
                in_column = replace(fault, message=message, column=column)
                faults[_cause(use, fault)].append(self._in_row(pair, in_column))
        counts = Counter(use[1] for use in rows)
        for (kind, *_), alike in faults.items():
            # A fault of all files of a kind has one cause, such as a wrong key or folder.
            yield from [_merged(alike, kind)] if len(alike) == counts[kind] >= _MANY else alike

    def _of_pairs(self, settings: Config, findings: Findings) -> Iterator[Fault]:
        """Inconsistencies within pairs; with subjects, one fault for all pairs that show it."""
        pairs: dict[Fault, list[str]] = defaultdict(list)
        for pair in self.cohort.pairs:
            for fault in agreement.disagreements(pair, findings, settings.plan.alignment):
                pairs[self._in_row(pair, fault)].append(pair.id)
        for fault, ids in pairs.items():
            if not self.cohort.subjects:
                yield fault
            elif fault.column != "initial_transform":
                suffix = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
                yield replace(fault, message=f"{fault.message} (in pair {ids[0]}{suffix})")

    def _of_labels(self, settings: Config, findings: Findings) -> Iterator[Fault]:
        """Labels that one side of a pair lacks: one fault per row, or with subjects per label."""
        if not self.cohort.subjects:
            for pair in self.cohort.pairs:
                for fault in agreement.differing_labels(pair, findings):
                    yield self._in_row(pair, fault)
            return
        lacking: dict[int, list[int]] = defaultdict(list)
        for pair in self.cohort.pairs:
            if not all(findings[use].sound for use in integrity.uses(pair).values()):
                continue
            for column, keys in agreement.one_sided_keys(pair, findings).items():
                for key in keys:
                    lacking[key].append(manifest.place(pair, column)[0])
        for key, rows in sorted(lacking.items()):
            name = settings.labels.label(key).name
            message = (
                f"label {name!r} is on one side only of {len(rows)} of {len(self.cohort.pairs)} "
                "pairs: neither learnt from nor measured there"
            )
            fix = f"draw it in rows {some(sorted(set(rows)))} if it should count"
            yield Fault(str(self.path), message, fix, None, "labels", "WARNING")

    def _of_channels(self, findings: Findings, side: str) -> Iterator[Fault]:
        column = f"{side}_image"
        counted = {}
        for pair in self.cohort.pairs:
            finding = findings[integrity.uses(pair)[column]]
            if finding.shape is not None:
                counted[manifest.place(pair, column)] = (pair, finding.channels)
        usual = Counter(channels for _, channels in counted.values()).most_common(1)
        for pair, channels in counted.values():
            if channels != usual[0][0]:
                message = f"has {channels} channels, {usual[0][1]} others have {usual[0][0]}"
                fix = f"give all {side} images the same channels"
                yield self._in_row(pair, Fault(column, message, fix, column=column))


_MANY = 3
"""Smallest number of files whose common fault is reported in one line."""


def _within(fault: Fault) -> str:
    """Where in its file a fault is."""
    parts = (("row", fault.row), ("column", fault.column))
    location = ", ".join(f"{name} {value}" for name, value in parts if value is not None)
    return f"{location}: " if location else ""


def _cause(use: Use, fault: Fault) -> Cause:
    """What faults of one cause share: the kind of file, and the message without its numbers."""
    message = re.sub(r" \(looked for .*\)|\d[\d.e+-]*", "", _within(fault) + fault.message)
    return use[1], fault.severity, message, fault.fix


def _merged(faults: Sequence[Fault], kind: str) -> Fault:
    """Merge the faults of all files of a kind into one."""
    rows = some(list(dict.fromkeys(fault.row for fault in faults[1:])))
    noun = "label files" if kind == "labels" else f"{kind} files"
    note = f" (and so for all other {noun}: {len(faults) - 1} more, rows {rows})"
    return replace(faults[0], message=faults[0].message + note)


def some(names: Sequence[object], count: int = 5) -> str:
    """The first few names and the number of the others, for a sentence."""
    texts = [str(name) for name in names]
    return ", ".join(texts[:count]) + (
        f" and {len(texts) - count} more" if len(texts) > count else ""
    )
