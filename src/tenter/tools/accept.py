"""Declare that a code change is harmless for existing results."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from tenter import files, provenance
from tenter.errors import InputError
from tenter.records import Fault
from tenter.study import Study


def accept(stage: str, config: Path, /, *, reason: str) -> str:
    """Keep finished results of a stage although the code behind them changed.

    After an upgrade, `tenter status` and the next run say which results would be computed again,
    and because of which modules. If you know that the change cannot alter these results,
    accept it: they are kept, and the report shows the change and your reason.

    Args:
        stage: Stage whose results are kept: prepare-images, prepare-labels, train, infer, evaluate,
            summarise or report.
        config: Configuration file (YAML) of the study.
        reason: Why the change is harmless; kept with the study and shown in its report.

    Raises:
        InputError: no result is stale because of its code, or several code versions are mixed.
    """
    study = Study.load(config)
    stage = stage.replace("-", "_")
    changes: dict[str, set[str]] = {}
    counts: dict[str, int] = {}
    for path in study.results.rglob("*provenance.json"):
        recorded = provenance.read_record(path)
        if recorded["stage"] != stage:
            continue
        current = provenance.fingerprint(stage, files.canonical(recorded["settings"]))
        if recorded["code"] != current:
            changes.setdefault(current, set()).add(recorded["code"])
            counts[current] = counts.get(current, 0) + 1
    _refuse(stage, config, changes)
    earlier = provenance.accepted_changes(study.accepted)
    remaining = [change for change in earlier if change["now"] not in changes]
    today = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    new_entries = [
        {
            "stage": stage,
            "now": current,
            "then": recorded_codes.pop(),
            "results": counts[current],
            "reason": reason,
            "when": today,
        }
        for current, recorded_codes in changes.items()
    ]
    files.write_json(study.accepted, remaining + new_entries)
    return f"{sum(counts.values())} results of {stage} are kept; recorded in {study.accepted}"


def _refuse(stage: str, config: Path, changes: dict[str, set[str]]) -> None:
    if not changes:
        fault = Fault(
            str(config), f"no result of {stage} is stale because of its code", "nothing to accept"
        )
        raise InputError([fault])
    if any(len(recorded_codes) > 1 for recorded_codes in changes.values()):
        message = f"results of {stage} were made by several versions of the code"
        fault = Fault(
            str(config),
            message,
            "run the workflow to make them again: later it cannot distinguish them",
        )
        raise InputError([fault])
