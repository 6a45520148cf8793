"""Declare that a change of code is harmless for results that are already there."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from tenter import files, provenance
from tenter.errors import InputError
from tenter.records import Fault
from tenter.study import Study


def accept(stage: str, config: Path, /, *, reason: str) -> str:
    """Keep finished results of a stage although the code behind them changed.

    After an upgrade `tenter status` and the next run say what would be made again, and
    because of which modules. Where you know that the change cannot alter these results,
    accept it: they stay, and the report names the change and your reason.

    Args:
        stage: the step whose results stay, such as train.
        config: the study's configuration file.
        reason: why the change is harmless; kept with the study and shown in its report.

    Raises:
        InputError: nothing is stale by code, or results of several versions are mixed.
    """
    study = Study.load(config)
    stage = stage.replace("-", "_")
    changes: dict[str, set[str]] = {}
    counts: dict[str, int] = {}
    for path in study.results.rglob("*provenance.json"):
        recorded = provenance.read_record(path)
        if recorded["stage"] != stage:
            continue
        now = provenance.fingerprint(stage, files.canonical(recorded["settings"]))
        if recorded["code"] != now:
            changes.setdefault(now, set()).add(recorded["code"])
            counts[now] = counts.get(now, 0) + 1
    _refuse(stage, config, changes)
    earlier = provenance.accepted_changes(study.accepted)
    kept = [change for change in earlier if change["now"] not in changes]
    today = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    added = [
        {
            "stage": stage,
            "now": now,
            "then": then.pop(),
            "results": counts[now],
            "reason": reason,
            "when": today,
        }
        for now, then in changes.items()
    ]
    files.write_json(study.accepted, kept + added)
    return f"{sum(counts.values())} results of {stage} stay; recorded in {study.accepted}"


def _refuse(stage: str, config: Path, changes: dict[str, set[str]]) -> None:
    if not changes:
        fault = Fault(str(config), f"no result of {stage} is stale by its code", "nothing to accept")
        raise InputError([fault])
    if any(len(then) > 1 for then in changes.values()):
        message = f"results of {stage} were made by several versions of the code"
        fault = Fault(
            str(config), message, "let the workflow make them again: it cannot tell them apart later"
        )
        raise InputError([fault])
