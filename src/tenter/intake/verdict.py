"""The result of a check, as a person reads it and as other programs do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tenter.intake.forecast import Forecast
from tenter.intake.integrity import Findings
from tenter.intake.manifest_checks import Table
from tenter.records import Fault

FORMAT = 1
"""Format of the JSON file; also of the remembered findings of files."""

SHOWN = 3
"""Number of warnings of one kind that are printed; the output file holds all."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result for a study without errors: warnings, contents, and expected cost."""

    warnings: tuple[Fault, ...]
    lines: tuple[str, ...]

    def __str__(self) -> str:
        """Return the first few warnings of each kind, then the summary."""
        kinds: dict[tuple[str | None, str], list[Fault]] = defaultdict(list)
        for fault in self.warnings:
            kinds[fault.column, fault.fix].append(fault)
        lines = []
        for group in kinds.values():
            lines += [str(fault) for fault in group[:SHOWN]]
            lines += (
                [f"WARNING ... and {len(group) - SHOWN} more like it"] if len(group) > SHOWN else []
            )
        return "\n".join([*lines, *self.lines])


def has_errors(faults: Iterable[Fault]) -> bool:
    """Whether any fault stops the run."""
    return any(fault.severity == "ERROR" for fault in faults)


def ordered(faults: Iterable[Fault]) -> list[Fault]:
    """Errors first, then by file, row and column."""
    return sorted(
        faults, key=lambda fault: (fault.severity, fault.file, fault.row or 0, fault.column or "")
    )


def as_json(
    table: Table, verdict: Verdict, needs: Forecast, findings: Findings
) -> dict[str, object]:
    """The content of the JSON file; paths are relative to the manifest's folder."""

    def described(fault: Fault) -> dict[str, object]:
        return asdict(fault) | {"file": Path(fault.file).name}

    return {
        "format": FORMAT,
        "faults": [described(fault) for fault in verdict.warnings],
        "summary": list(verdict.lines),
        "pairs": len(table.cohort.pairs),
        "patients": len({patient for pair in table.cohort.pairs for patient in pair.patients}),
        "forecast": asdict(needs) | {"bytes": needs.bytes},
        "files": {
            table.named(path): {
                "bytes": finding.bytes,
                "mtime": int(path.stat().st_mtime),
                "sha256": finding.sha256,
            }
            for (path, _), finding in findings.items()
        },
    }
