"""Runs that are found again by their tags and only ever added to, so that nothing is logged twice."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenter import files
from tenter.tracking.place import Place, experiment_id

if TYPE_CHECKING:
    from mlflow.entities import Run as Found
    from mlflow.tracking import MlflowClient

KEY, IDENTITY, CURRENT = "tenter.key", "tenter.identity", "tenter.current"
PARENT, RUN_NAME, COMMIT = "mlflow.parentRunId", "mlflow.runName", "mlflow.source.git.commit"
COUNTS = ("pairs_trained_on", "pairs_validated_on")

_CHUNK = 100

Points = Mapping[str, Sequence[tuple[int, float]]]
"""Metric to its (step, value)."""


@dataclass(slots=True)
class Run:
    """A run that is only ever added to: what it holds already is not logged again."""

    client: MlflowClient
    id: str
    seen: dict[str, set[int]] = field(default_factory=dict)

    def fill(self, wanted: Points) -> int:
        """Log the finite points that are missing; how many were not finite."""
        from mlflow.entities import Metric  # noqa: PLC0415 - seconds that only tracking shall cost

        now = int(time.time() * 1000)
        missing, skipped = [], 0
        for key, series in wanted.items():
            known = self._known(key)
            for step, value in series:
                skipped += not math.isfinite(value)
                if math.isfinite(value) and step not in known:
                    missing.append(Metric(key, float(value), now, step))
        for begin in range(0, len(missing), _CHUNK):
            chunk = missing[begin : begin + _CHUNK]
            self.client.log_batch(self.id, metrics=chunk)
            for metric in chunk:
                self._known(metric.key).add(metric.step)
        return skipped

    def _known(self, key: str) -> set[int]:
        if key not in self.seen:
            self.seen[key] = {metric.step for metric in self.client.get_metric_history(self.id, key)}
        return self.seen[key]

    def revise(self, figures: Mapping[str, float]) -> int:
        """Log final figures that are new or changed, each as its metric's next step."""
        changed: dict[str, list[tuple[int, float]]] = {}
        latest = self.client.get_run(self.id).data.metrics
        for key, value in figures.items():
            if key not in latest:
                changed[key] = [(0, value)]
            elif latest[key] != value:
                changed[key] = [(max(self._known(key)) + 1, value)]
        return self.fill(changed)

    def describe(self, params: Mapping[str, object], tags: Mapping[str, object]) -> None:
        """Add parameters that are not there yet (MLflow lets none change), and set tags."""
        from mlflow.entities import Param, RunTag  # noqa: PLC0415 - seconds that only tracking shall cost

        known = self.client.get_run(self.id).data
        new = [Param(key, str(value)) for key, value in params.items() if key not in known.params]
        texts = {key: str(value) for key, value in tags.items() if value is not None}
        renewed = [RunTag(key, value) for key, value in texts.items() if known.tags.get(key) != value]
        for begin in range(0, len(new), _CHUNK):
            self.client.log_batch(self.id, params=new[begin : begin + _CHUNK])
        if renewed:
            self.client.log_batch(self.id, tags=renewed)

    def attach(self, paths: Sequence[Path], folder: str) -> None:
        """Log files as artifacts, unless the same are there; plain files, no pickle."""
        tag = f"tenter.{folder}"
        digest = files.digest([(path.name, files.sha256(path)) for path in paths])
        if not paths or self.client.get_run(self.id).data.tags.get(tag) == digest:
            return
        for path in paths:
            self.client.log_artifact(self.id, str(path), artifact_path=folder)
        self.client.set_tag(self.id, tag, digest)

    def finish(self) -> None:
        """Mark the run as finished, once."""
        if self.client.get_run(self.id).info.status != "FINISHED":
            self.client.set_terminated(self.id)


def fold_run(client: MlflowClient, place: Place, model: str, description: Mapping[str, Any]) -> Run:
    """The current run of a fold: found by its identity, or made."""
    fold, identity = description["fold"], description["identity"]
    provenance = description.get("provenance", {})
    tags = {
        "role": "fold",
        "fold": fold,
        "tenter.config": identity["settings"],
        "tenter.cohort": identity["cohort"],
        "tenter.manifest": place.manifest,
        "tenter.code": identity["code"],
        "tenter.version": provenance.get("tenter"),
        COMMIT: provenance.get("commit"),
        RUN_NAME: f"{model} fold {fold}",
    }
    run = current(client, place, f"{model}/{fold}", files.digest(identity))
    run.describe(parameters(description), {**tags, "tenter.model": model})
    return run


def current(client: MlflowClient, place: Place, key: str, identity: str) -> Run:
    """The one current run of a key; runs of another identity, and doubles, are retired."""
    experiment = experiment_id(client, place) if place.experiment_id is None else place.experiment_id
    filters = f"tags.`{KEY}` = '{key}' and tags.`tenter.study` = '{place.study}'"
    runs = sorted(search(client, experiment, filters), key=lambda run: run.info.start_time)
    same = [run for run in runs if run.data.tags.get(IDENTITY) == identity]
    if same:
        run_id = same[0].info.run_id
    else:
        tags = {KEY: key, IDENTITY: identity, "tenter.study": place.study, CURRENT: "true"}
        run_id = client.create_run(experiment, tags=tags, run_name=key).info.run_id
    retire(client, (run for run in runs if run.info.run_id != run_id), run_id)
    return Run(client, run_id)


def retire(client: MlflowClient, runs: Iterable[Found], successor: str) -> None:
    """Tag runs as superseded and delete them; MLflow keeps them, out of sight."""
    for run in runs:
        client.set_tag(run.info.run_id, CURRENT, "false")
        client.set_tag(run.info.run_id, "superseded", successor)
        client.delete_run(run.info.run_id)


def search(client: MlflowClient, experiment: str, filters: str) -> list[Found]:
    """All runs that match, over all pages of the answer."""
    found: list[Found] = []
    token: str | None = None
    while True:
        page = client.search_runs([experiment], filters, page_token=token)
        found.extend(page)
        token = page.token
        if not token:
            return found


def points(rows: Sequence[Mapping[str, float]]) -> dict[str, list[tuple[int, float]]]:
    """Rows of a history as metrics: `train/loss`, `val/dice`, ..."""
    found: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name != "step":
                key = f"val/{name[4:]}" if name.startswith("val_") else f"train/{name}"
                found.setdefault(key, []).append((int(row["step"]), value))
    return found


def parameters(description: Mapping[str, Any]) -> dict[str, object]:
    """A model's settings as flat parameters, such as `network.channels`; no path among them."""
    plan = description.get("plan", {})
    flat = dict(_flat(description.get("settings", {}), ""))
    counts = (len(description.get("trained_on", ())), len(description.get("validated_on", ())))
    grid = {
        f"plan.{name}": json.dumps(plan[name])
        for name in ("shape", "spacing_mm", "alignment")
        if name in plan
    }
    return {"fold": description["fold"], **flat, **grid, **dict(zip(COUNTS, counts, strict=True))}


def _flat(value: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, object]]:
    for key, item in value.items():
        if isinstance(item, dict):
            yield from _flat(item, f"{prefix}{key}.")
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            for index, part in enumerate(item):
                yield from _flat(part, f"{prefix}{key}.{index}.")
        else:
            yield f"{prefix}{key}", json.dumps(item) if isinstance(item, list) else item
