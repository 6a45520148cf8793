"""Say which results of a study are stale, and why, by comparing their provenance with the study.

Snakemake decides by its own records and gives full settings as the reason; this module reads the
provenance beside each output and says what differs. A test compares both.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tenter import files, finished, provenance, registrars, steps, tracking
from tenter.manifest import rows
from tenter.records import Fault, Pair
from tenter.steps import Step
from tenter.study import Study
from tenter.tools import verification

SHOWN = 3
"""Number of differences of one kind that are named; the others are only counted."""

LARGEST = 1_000_000_000
"""Largest size in bytes of a newer input that is compared by content.

The profiles set `max-checksum-file-size` to the same.
"""

RECORDS = Path(".snakemake/metadata")
"""Folder where Snakemake keeps its records of finished jobs."""

NOUNS = {
    "prepare_images": ("chunk of prepared images", "chunks of prepared images"),
    "prepare_labels": ("chunk of prepared labels", "chunks of prepared labels"),
    "train": ("training", "trainings"),
    "infer": ("registered chunk", "registered chunks"),
    "baseline": ("chunk registered by a baseline", "chunks registered by baselines"),
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
        """Names of the jobs that a run would start, each with its own causes; often none."""
        causes_by_job = {name: self.causes(step) for name, step in self.steps.items()}
        targets = {
            step.name for step in self.steps.values() if step.stage not in steps.INTERMEDIATE
        }
        waiting = [
            name
            for name, step in self.steps.items()
            if causes_by_job[name] or (name in targets and not _exist(step.outputs))
        ]
        readers = self._readers()
        stale: dict[str, list[str]] = {}
        while waiting:
            name = waiting.pop()
            if name in stale:
                continue
            stale[name] = causes_by_job[name]
            waiting += [
                producer.name for producer in self._upstream(name) if not _exist(producer.outputs)
            ]
            waiting += readers.get(name, [])
        return {name: stale[name] for name in self.steps if name in stale}

    def causes(self, step: Step) -> list[str]:
        """Say why a job with existing outputs must run again, apart from upstream jobs."""
        if not _exist(step.outputs):
            return []
        record = provenance.recorded(step.provenance) if step.provenance is not None else None
        causes: list[str] = []
        if record is not None:
            causes += self._settings(step, record)
            causes += _layout(step, record)
            causes += self._code(step, record)
            causes += self._rows(step, record)
            causes += self._accepted(step, record)
        causes += self._inputs(step, record or {})
        causes += self._published(step) if step.stage == "publish" else []
        missing = self.lost.get(step.outputs[0], [])
        names = listed([fault.file for fault in missing])
        return [*causes, *([f"files that are gone: {names}"] if missing else [])]

    @functools.cached_property
    def lost(self) -> dict[Path, list[Fault]]:
        """Tables that name missing pair files."""
        return verification.lost(self.study, (*registrars.RULES, "evaluate"))

    def lines(self) -> list[str]:
        """Say what is stale and why: a line for each cause, and one for all jobs that follow."""
        grouped: dict[str, list[Step]] = {}
        for name, causes in self.jobs.items():
            for cause in causes:
                grouped.setdefault(cause, []).append(self.steps[name])
        if not grouped:
            return []
        stale_lines = [
            f"stale: {cause} ({counted(stale_steps)})" for cause, stale_steps in grouped.items()
        ]
        repeated = [self.steps[name] for name in self.jobs if _exist(self.steps[name].outputs)]
        return [*stale_lines, f"the next run repeats {counted(repeated)}"]

    def target(self, name: str, dag: Any) -> list[Path]:  # noqa: ANN401 - Snakemake's
        """Return the files that a target of the workflow requires.

        Snakemake is forced to run jobs that it cannot know to be stale: jobs with missing pair
        files, as it only knows their tables; a plan that is not current; and, if its own records
        were deleted, all jobs that are stale by tenter's records.

        Args:
            name: `all` or `cases`.
            dag: Snakemake's graph of jobs.
        """
        if name == "cases":
            forced = list(verification.lost(self.study, ("prepare_images", "prepare_labels")))
        elif any(RECORDS.glob("*")):
            forced = list(self.lost)
        else:
            stale = (self.steps[job] for job, causes in self.jobs.items() if causes)
            forced = [path for step in stale for path in step.outputs]
        forced += [
            path
            for path in self.steps["plan"].outputs
            if path.is_file() and not self.study.plan.is_current(path)
        ]
        dag.forcefiles.update(map(str, forced))
        return steps.cases(self.study) if name == "cases" else steps.products(self.study)

    def _upstream(self, name: str) -> list[Step]:
        """Return the jobs whose outputs a job reads."""
        step = self.steps[name]
        upstream = [self._maker[path] for path in step.inputs if path in self._maker]
        return [
            *upstream,
            *([self.steps["plan"]] if step.stage in {"prepare_images", "train", "report"} else []),
        ]

    def _readers(self) -> dict[str, list[str]]:
        """Return the jobs downstream of each job; of the plan, only if it is not current."""
        readers: dict[str, list[str]] = {}
        (plan,) = self.steps["plan"].outputs
        renewed = not self.study.plan.is_current(plan)
        for step in self.steps.values():
            for producer in self._upstream(step.name):
                if producer.name != "plan" or renewed:
                    readers.setdefault(producer.name, []).append(step.name)
        return readers

    def _current(self, step: Step) -> tuple[str, str]:
        return _settings_and_code(self.study, *step.settings_of)

    def _settings(self, step: Step, record: Mapping[str, Any]) -> list[str]:
        settings, _ = self._current(step)
        if files.canonical(record["settings"]) == settings:
            return []
        changed = list(differences(record["settings"], json.loads(settings)))
        return [f"settings of {step.settings_of[1] or step.stage}: {listed(changed)}"]

    def _code(self, step: Step, record: Mapping[str, Any]) -> list[str]:
        settings, code = self._current(step)
        if (
            step.stage == "plan" or record["code"] == code
        ):  # the rule of the plan has no parameter for its code
            return []
        recorded_modules, current_modules = (
            record["modules"],
            provenance.module_hashes(step.stage, settings),
        )
        changed = [
            name
            for name in sorted(current_modules.keys() | recorded_modules)
            if current_modules.get(name) != recorded_modules.get(name)
        ]
        hint = f"harmless? `tenter accept {step.stage.replace('_', '-')} --help`"
        return [f"code of {step.stage}: {listed(changed) or 'modules'}; {hint}"]

    def _rows(self, step: Step, record: Mapping[str, Any]) -> list[str]:
        recorded_rows = record.get("pairs")
        if recorded_rows is None or not step.pairs:
            return []
        current_rows = {pair.id: pair for pair in step.pairs}
        added, removed = (
            sorted(current_rows.keys() - recorded_rows.keys()),
            sorted(recorded_rows.keys() - current_rows.keys()),
        )
        causes = [f"pairs added: {listed(added)}"] if added else []
        causes += [f"pairs removed: {listed(removed)}"] if removed else []
        for name in sorted(current_rows.keys() & recorded_rows.keys()):
            current = self._row(current_rows[name], step.stage)
            changed = list(differences(recorded_rows[name], current))
            causes += [f"row of {name}: {listed(changed)}"] if changed else []
        return causes

    def _row(self, pair: Pair, stage: str) -> dict[str, Any]:
        row: dict[str, Any] = json.loads(
            files.canonical(rows.compared(pair, self.study.cohort.manifest.parent, stage))
        )
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
        causes: list[str] = []
        recorded_inputs = record.get("inputs")
        if recorded_inputs is not None:
            # The report gets the folder of all models; its settings list the models.
            inputs = (path for path in step.inputs if path.name != finished.HISTORY)
            current_inputs = {_from_output(step, path) for path in inputs}
            added, removed = (
                sorted(current_inputs - recorded_inputs.keys()),
                sorted(recorded_inputs.keys() - current_inputs),
            )
            causes += [f"inputs added: {listed(added)}"] if added else []
            causes += [f"inputs no longer read: {listed(removed)}"] if removed else []
        folder = self.study.cohort.manifest.parent
        known = recorded_inputs or {}
        sources = record.get("sources", {})
        written_ns = min(path.stat().st_mtime_ns for path in step.outputs)
        newer = [
            path
            for path in (*step.sources(), *step.inputs)
            if path.exists() and path.stat().st_mtime_ns > written_ns
        ]
        changed = [
            str(path)
            for path in newer
            if self._differs(
                path,
                known.get(_from_output(step, path)) or sources.get(os.path.relpath(path, folder)),
            )
        ]
        return [*causes, *([f"changed file: {listed(changed)}"] if changed else [])]

    def _differs(self, path: Path, sha256: str | None) -> bool:
        """Whether a newer file's content differs from what was read.

        An output without a recorded sha256 is compared with the provenance of its maker.
        """
        if path.is_dir():
            return False
        if sha256 is None:
            maker = self._maker.get(path)
            return (
                maker is not None and maker.provenance is not None and bool(provenance.damage(path))
            )
        if path.stat().st_size > LARGEST:
            return True
        if path not in self._hashes:
            self._hashes[path] = files.sha256(path)
        return self._hashes[path] != sha256


def _from_output(step: Step, path: Path) -> str:
    """Return an input's path from the folder of a step's output, as provenance names it."""
    base = step.provenance if step.provenance is not None else step.outputs[0]
    return os.path.relpath(path, base.parent)


def _layout(step: Step, record: Mapping[str, Any]) -> list[str]:
    """Say that a study's results are of an earlier version; its plan stands for all of them."""
    if step.stage != "plan" or record.get("layout") == provenance.LAYOUT:
        return []
    return ["results in the layout of an earlier version of tenter"]


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
    for key, (old_value, new_value) in pairs.items():
        if old_value != new_value:
            yield from differences(old_value, new_value, f"{path}.{key}".lstrip("."))


def listed(names: Iterable[str]) -> str:
    """Return the first names, and how many more there are."""
    texts = list(names)
    suffix = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + suffix


def counted(stale_steps: Iterable[Step]) -> str:
    """Count the jobs of each stage: `2 trainings, the report`."""
    counts: dict[str, int] = {}
    for step in stale_steps:
        counts[step.stage] = counts.get(step.stage, 0) + 1
    return ", ".join(
        ONCE[stage] if stage in ONCE else f"{count} {_nouns(stage)[count > 1]}"
        for stage, count in counts.items()
    )


def _nouns(stage: str) -> tuple[str, str]:
    return NOUNS.get(stage, (f"job of {stage}", f"jobs of {stage}"))


def _short(value: object) -> str:
    text = "nothing" if value is None else files.canonical(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _exist(paths: Iterable[Path]) -> bool:
    return all(path.is_file() for path in paths)
