"""What of a study is stale, and why: what its files were made from, compared with what is asked for now.

Snakemake decides by its own records and says why in whole settings; this reads the provenance beside each
output and says what differs. A test compares both.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tenter import files, manifest, provenance, steps, tracking
from tenter.records import Pair
from tenter.steps import Step
from tenter.study import Study
from tenter.tools import wholeness

SHOWN = 3
"""Differences of one kind that are named before the others are only counted."""

LARGEST = 1_000_000_000
"""Bytes up to which a newer input is compared by content, as the profiles set `max-checksum-file-size`."""

RECORDS = Path(".snakemake/metadata")
"""Where Snakemake keeps what it knows of finished jobs."""

NOUNS = {
    "prepare_images": ("chunk of prepared images", "chunks of prepared images"),
    "prepare_labels": ("chunk of prepared labels", "chunks of prepared labels"),
    "train": ("training", "trainings"),
    "infer": ("registered chunk", "registered chunks"),
    "evaluate": ("measured chunk", "measured chunks"),
    "publish": ("model in MLflow", "models in MLflow"),
}
ONCE = {"plan": "the plan", "summarise": "the statistics", "report": "the report"}


class Staleness:
    """The jobs that a run would start, each with its own causes.

    Args:
        study: the study.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.steps = steps.steps(study)
        self._maker = {path: step for step in self.steps.values() for path in step.outputs}
        self._hashes: dict[Path, str] = {}

    @functools.cached_property
    def jobs(self) -> dict[str, list[str]]:
        """Name of each job that a run would start, with what makes it stale by itself; often nothing."""
        own = {name: self.causes(step) for name, step in self.steps.items()}
        wanted = {step.name for step in self.steps.values() if step.stage not in steps.INTERMEDIATE}
        waiting = [
            name
            for name, step in self.steps.items()
            if own[name] or (name in wanted and not _exist(step.outputs))
        ]
        readers = self._readers()
        found: dict[str, list[str]] = {}
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            found[name] = own[name]
            waiting += [other.name for other in self._made_by(name) if not _exist(other.outputs)]
            waiting += readers.get(name, [])
        return {name: found[name] for name in self.steps if name in found}

    def causes(self, step: Step) -> list[str]:
        """Why a job whose outputs are there must run again, apart from the jobs before it."""
        if not _exist(step.outputs):
            return []
        record = provenance.recorded(step.provenance) if step.provenance is not None else None
        found: list[str] = []
        if record is not None:
            found += self._settings(step, record)
            found += self._code(step, record)
            found += self._rows(step, record)
            found += self._accepted(step, record)
        found += self._inputs(step, record or {})
        found += self._published(step) if step.stage == "publish" else []
        missing = self.lost.get(step.outputs[0], [])
        return [*found, *([f"files that are gone: {listed(missing)}"] if missing else [])]

    @functools.cached_property
    def lost(self) -> dict[Path, list[str]]:
        """Tables that name pair files which are gone."""
        return wholeness.lost(self.study, ("infer", "evaluate"))

    def lines(self) -> list[str]:
        """What is stale and why: a line for each cause, and one for what follows from them."""
        grouped: dict[str, list[Step]] = {}
        for name, causes in self.jobs.items():
            for cause in causes:
                grouped.setdefault(cause, []).append(self.steps[name])
        if not grouped:
            return []
        told = [f"stale: {cause} ({counted(made)})" for cause, made in grouped.items()]
        again = [self.steps[name] for name in self.jobs if _exist(self.steps[name].outputs)]
        return [*told, f"the next run repeats {counted(again)}"]

    def target(self, name: str, dag: Any) -> list[Path]:  # noqa: ANN401 - Snakemake's
        """The files that a target of the workflow asks for.

        Snakemake is made to run what it cannot know to be stale: jobs whose pair files are gone, as it knows
        their tables alone, and where its own records were deleted, all that is stale by tenter's.

        Args:
            name: `all` or `cases`.
            dag: Snakemake's graph of jobs.
        """
        if name == "cases":
            forced = list(wholeness.lost(self.study, ("prepare_images", "prepare_labels")))
        elif any(RECORDS.glob("*")):
            forced = list(self.lost)
        else:
            stale = (self.steps[job] for job, causes in self.jobs.items() if causes)
            forced = [path for step in stale for path in step.outputs]
        dag.forcefiles.update(map(str, forced))
        return steps.cases(self.study) if name == "cases" else steps.products(self.study)

    def _made_by(self, name: str) -> list[Step]:
        """The jobs whose outputs a job reads."""
        step = self.steps[name]
        found = [self._maker[path] for path in step.inputs if path in self._maker]
        return [
            *found,
            *([self.steps["plan"]] if step.stage in {"prepare_images", "train", "report"} else []),
        ]

    def _readers(self) -> dict[str, list[str]]:
        """Jobs that must follow each job; all that reads the plan, only where the plan is not current."""
        found: dict[str, list[str]] = {}
        (plan,) = self.steps["plan"].outputs
        renewed = not self.study.plan_is_current(plan)
        for step in self.steps.values():
            for other in self._made_by(step.name):
                if other.name != "plan" or renewed:
                    found.setdefault(other.name, []).append(step.name)
        return found

    def _now(self, step: Step) -> tuple[str, str]:
        return _settings_and_code(self.study, *step.settings_of)

    def _settings(self, step: Step, record: Mapping[str, Any]) -> list[str]:
        settings, _ = self._now(step)
        if files.canonical(record["settings"]) == settings:
            return []
        changed = list(differences(record["settings"], json.loads(settings)))
        return [f"settings of {step.settings_of[1] or step.stage}: {listed(changed)}"]

    def _code(self, step: Step, record: Mapping[str, Any]) -> list[str]:
        settings, code = self._now(step)
        if step.stage == "plan" or record["code"] == code:  # the plan's code is no parameter of its rule
            return []
        then, now = record["modules"], provenance.module_hashes(step.stage, settings)
        changed = [name for name in sorted(now.keys() | then) if now.get(name) != then.get(name)]
        hint = f"harmless? `tenter accept {step.stage.replace('_', '-')} --help`"
        return [f"code of {step.stage}: {listed(changed) or 'modules'}; {hint}"]

    def _rows(self, step: Step, record: Mapping[str, Any]) -> list[str]:
        then = record.get("pairs")
        if then is None or not step.pairs:
            return []
        now = {pair.id: pair for pair in step.pairs}
        added, removed = sorted(now.keys() - then.keys()), sorted(then.keys() - now.keys())
        found = [f"pairs added: {listed(added)}"] if added else []
        found += [f"pairs removed: {listed(removed)}"] if removed else []
        if step.stage not in {"prepare_images", "evaluate"}:
            return found
        ignored = {"set", "fold"} if self.study.applied is not None else set()
        for name in sorted(now.keys() & then.keys()):
            old, new = (_without(row, ignored) for row in (then[name], self._row(now[name])))
            changed = list(differences(old, new))
            found += [f"row of {name}: {listed(changed)}"] if changed else []
        return found

    def _row(self, pair: Pair) -> dict[str, Any]:
        row: dict[str, Any] = json.loads(files.canonical(manifest.row(pair, self.study.manifest.parent)))
        return row

    def _accepted(self, step: Step, record: Mapping[str, Any]) -> list[str]:
        changed = "accepted" in record and record["accepted"] != self.study.accepted_digest()
        return ["the list of accepted code changes"] if step.stage == "report" and changed else []

    def _published(self, step: Step) -> list[str]:
        """Why a model must be published to MLflow again, though its results are the same."""
        published = tracking.read_record(self._place.folder or Path(), str(step.model))
        if not published:
            return []
        store = (published.get("uri"), published.get("experiment"))
        if store != (self._place.uri, self._place.experiment):
            return ["another tracking server, database or experiment"]
        gone = self._rebuilds[str(step.model)] > published.get("rebuild", 0)
        return ["runs that are gone from MLflow, or were moved with the study"] if gone else []

    @functools.cached_property
    def _place(self) -> tracking.Place:
        return tracking.place_of(self.study)

    @functools.cached_property
    def _rebuilds(self) -> dict[str, int]:
        return tracking.rebuilds(self._place, list(self.study.models))

    def _inputs(self, step: Step, record: Mapping[str, Any]) -> list[str]:
        found: list[str] = []
        then = record.get("inputs")
        if then is not None:
            # The report is told the folder of all models; which ones there are is part of its settings.
            now = {str(path) for path in step.inputs if path.name != "history.csv"}
            more, fewer = sorted(now - then.keys()), sorted(then.keys() - now)
            found += [f"inputs added: {listed(more)}"] if more else []
            found += [f"inputs no longer read: {listed(fewer)}"] if fewer else []
        folder = self.study.manifest.parent
        known = {Path(name): sha256 for name, sha256 in (then or {}).items()}
        sources = record.get("sources", {})
        made = min(path.stat().st_mtime_ns for path in step.outputs)
        newer = [
            path
            for path in (*step.sources(), *step.inputs)
            if path.exists() and path.stat().st_mtime_ns > made
        ]
        changed = [
            str(path)
            for path in newer
            if self._differs(path, known.get(path) or sources.get(os.path.relpath(path, folder)))
        ]
        return [*found, *([f"changed file: {listed(changed)}"] if changed else [])]

    def _differs(self, path: Path, then: str | None) -> bool:
        """Whether a newer file's content is not what was read; not known of an output, its maker's record."""
        if path.is_dir():
            return False
        if then is None:
            maker = self._maker.get(path)
            return maker is not None and maker.provenance is not None and bool(provenance.damage(path))
        if path.stat().st_size > LARGEST:
            return True
        if path not in self._hashes:
            self._hashes[path] = files.sha256(path)
        return self._hashes[path] != then


@functools.lru_cache(maxsize=256)
def _settings_and_code(study: Study, stage: str, model: str | None) -> tuple[str, str]:
    return study.settings(stage, model), study.code(stage, model)


def differences(old: object, new: object, path: str = "") -> Iterator[str]:
    """Say where two JSON values differ: `losses.labels.0.weight 1.0 -> 2.0`."""
    pairs: dict[str, tuple[object, object]] = {}
    if isinstance(old, dict) and isinstance(new, dict):
        pairs = {key: (old.get(key), new.get(key)) for key in sorted(old.keys() | new.keys())}
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = {str(index): both for index, both in enumerate(zip(old, new, strict=True))}
    elif old != new:
        yield f"{path} {_short(old)} -> {_short(new)}".strip()
    for key, (one, other) in pairs.items():
        if one != other:
            yield from differences(one, other, f"{path}.{key}".lstrip("."))


def listed(items: Iterable[str]) -> str:
    """The first items, and how many more there are."""
    found = list(items)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


def counted(found: Iterable[Step]) -> str:
    """How many jobs of each stage: `2 trainings, 1 report`."""
    counts: dict[str, int] = {}
    for step in found:
        counts[step.stage] = counts.get(step.stage, 0) + 1
    return ", ".join(
        ONCE[stage] if stage in ONCE else f"{count} {NOUNS[stage][count > 1]}"
        for stage, count in counts.items()
    )


def _short(value: object) -> str:
    text = "nothing" if value is None else files.canonical(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _without(row: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def _exist(paths: Iterable[Path]) -> bool:
    return all(path.is_file() for path in paths)
