"""Runs that are found again by their tags, so that nothing is logged twice."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenter import files
from tenter.tracking.location import Place

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun
    from mlflow.tracking import MlflowClient

KEY, IDENTITY, CURRENT = "tenter.key", "tenter.identity", "tenter.current"
CONTENT = "tenter.content"
"""Tag of a run whose figures are complete: their digest. A run's figures never change, because
MLflow would keep the old ones as earlier points of a curve."""

PARENT, RUN_NAME, COMMIT = "mlflow.parentRunId", "mlflow.runName", "mlflow.source.git.commit"
NOTE, SOURCE, SOURCE_KIND = "mlflow.note.content", "mlflow.source.name", "mlflow.source.type"
COUNTS = ("pairs_trained_on", "pairs_validated_on")
CURVES = ("train/", "val/")
"""Prefixes of metrics that are curves over training steps; the others are figures of one point."""

_CHUNK = 100

Points = Mapping[str, Sequence[tuple[int, float]]]
"""Metric to its (step, value)."""

Span = tuple[int, int]
"""Start and end in milliseconds since 1970."""


@dataclass(slots=True)
class Run:
    """A run that is only added to: what it already holds is not logged again.

    Attributes:
        client: of its store.
        id: its id.
        tags: its tags.
        params: its parameters.
        status: `RUNNING`, `FINISHED`, ...
        fresh: whether it was just created, so that it holds no metric logged elsewhere.
        seen: steps of each metric that the store has.
    """

    client: MlflowClient
    id: str
    tags: dict[str, str]
    params: dict[str, str]
    status: str
    fresh: bool = False
    seen: dict[str, set[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, client: MlflowClient, entity: MlflowRun, *, fresh: bool = False) -> Run:
        """A run as the store describes it."""
        tags, params = dict(entity.data.tags), dict(entity.data.params)
        return cls(client, entity.info.run_id, tags, params, entity.info.status, fresh)

    def fill(self, points: Points) -> None:
        """Log the points that are missing; infinite ones too, which MLflow shows as `Infinity`."""
        from mlflow.entities import Metric  # noqa: PLC0415 - a slow import

        now_ms = int(time.time() * 1000)
        missing = []
        for key, series in points.items():
            known = self._known(key)
            missing += [
                Metric(key, float(value), now_ms, step)
                for step, value in series
                if step not in known
            ]
        for begin in range(0, len(missing), _CHUNK):
            chunk = missing[begin : begin + _CHUNK]
            try:
                self.client.log_batch(self.id, metrics=chunk)
            except Exception:
                self.fresh, self.seen = False, {}  # the store may hold them nevertheless
                raise
            for metric in chunk:
                self._known(metric.key).add(metric.step)

    def _known(self, key: str) -> set[int]:
        if key not in self.seen:
            history = () if self.fresh else self.client.get_metric_history(self.id, key)
            self.seen[key] = {metric.step for metric in history}
        return self.seen[key]

    def state(self, figures: Mapping[str, float], content: str) -> None:
        """Log final figures, one point each, unless present; a tag names the infinite ones."""
        if self.tags.get(CONTENT) == content:
            return
        self.fill({key: [(0, value)] for key, value in figures.items()})
        infinite = ", ".join(sorted(key for key, value in figures.items() if math.isinf(value)))
        self.describe({}, {"infinite": infinite or None, CONTENT: content})

    def describe(self, params: Mapping[str, object], tags: Mapping[str, object]) -> None:
        """Add parameters that are not there yet (MLflow allows no changes), and set tags."""
        from mlflow.entities import Param, RunTag  # noqa: PLC0415 - a slow import

        new = {key: str(value) for key, value in params.items() if key not in self.params}
        texts = {key: str(value) for key, value in tags.items() if value is not None}
        renewed = {key: value for key, value in texts.items() if self.tags.get(key) != value}
        added = [Param(key, value) for key, value in new.items()]
        for begin in range(0, len(added), _CHUNK):
            self.client.log_batch(self.id, params=added[begin : begin + _CHUNK])
        if renewed:
            self.client.log_batch(
                self.id, tags=[RunTag(key, value) for key, value in renewed.items()]
            )
        self.params |= new
        self.tags |= renewed

    def attach(self, group: str, contents: Mapping[str, Path | str]) -> None:
        """Log artifacts as plain files, without pickle, unless the same are there.

        Args:
            group: name of the group; a tag `tenter.files.<group>` holds the artifacts' digest.
            contents: name of each artifact, such as `tables/metrics.tsv`, to a file or a text.
        """
        tag = f"tenter.files.{group}"
        digests = {
            name: files.sha256(content) if isinstance(content, Path) else files.digest(content)
            for name, content in contents.items()
        }
        digest = files.digest(digests)
        if not contents or self.tags.get(tag) == digest:
            return
        for name, content in contents.items():
            if isinstance(content, Path):
                folder = str(Path(name).parent)
                self.client.log_artifact(self.id, str(content), None if folder == "." else folder)
            else:
                self.client.log_text(self.id, content, name)
        self.describe({}, {tag: digest})

    def finish(self, span: Span | None) -> None:
        """Mark the run as finished, once."""
        if self.status != "FINISHED":
            self.client.set_terminated(self.id, end_time=span[1] if span else None)


def fold_run(
    client: MlflowClient,
    place: Place,
    model: str,
    description: Mapping[str, Any],
    *,
    content: str | None = None,
    span: Span | None = None,
) -> Run:
    """The current run of a fold: found by its identity, or created."""
    fold, identity = description["fold"], description["identity"]
    provenance = description.get("provenance", {})
    tags = {
        "role": "fold",
        "fold": fold,
        "tenter.model": model,
        "tenter.config": identity["settings"],
        "tenter.cohort": identity["cohort"],
        "tenter.manifest": place.manifest,
        "tenter.code": identity["code"],
        RUN_NAME: f"{model} fold {fold}",
    }
    run = current(client, place, f"{model}/{fold}", (files.digest(identity), content), span)
    run.describe(parameters(description), {**tags, **source(provenance)})
    return run


def source(provenance: Mapping[str, Any]) -> dict[str, object]:
    """Tags of the software that made a run."""
    version = provenance.get("tenter")
    name = f"tenter {version}" if version else "tenter"
    commit = provenance.get("commit")
    return {SOURCE: name, SOURCE_KIND: "LOCAL", "tenter.version": version, COMMIT: commit}


def current(
    client: MlflowClient,
    place: Place,
    key: str,
    made_of: tuple[str, str | None],
    span: Span | None = None,
) -> Run:
    """The one current run of a key; runs with other content, and duplicates, are retired.

    Args:
        client: of the store.
        place: where the run is, with the experiment's id.
        key: what the run is of.
        made_of: digest of what was trained, and of the figures that the run will hold; None if
            these are not known yet, so that any will do.
        span: start and end of the run, used if it is created.
    """
    identity, content = made_of
    filters = f"tags.`{KEY}` = '{key}' and tags.`tenter.study` = '{place.study}'"
    runs = sorted(
        search(client, str(place.experiment_id), filters), key=lambda run: run.info.start_time
    )
    same = [
        run for run in runs if run.data.tags.get(IDENTITY) == identity and _can_hold(run, content)
    ]
    if same:
        chosen = Run.of(client, same[0])
    else:
        tags = {KEY: key, IDENTITY: identity, "tenter.study": place.study, CURRENT: "true"}
        begin = span[0] if span else None
        entity = client.create_run(str(place.experiment_id), begin, tags=tags, run_name=key)
        chosen = Run.of(client, entity, fresh=True)
    retire(client, (run for run in runs if run.info.run_id != chosen.id), chosen.id)
    return chosen


def _can_hold(run: MlflowRun, content: str | None) -> bool:
    """Whether a run holds these figures, or no figures yet."""
    if content is None or run.data.tags.get(CONTENT) == content:
        return True
    return CONTENT not in run.data.tags and all(
        name.startswith(CURVES) for name in run.data.metrics
    )


def retire(client: MlflowClient, runs: Iterable[MlflowRun], successor: str) -> None:
    """Tag runs as superseded and delete them; MLflow keeps deleted runs hidden."""
    from mlflow.entities import RunTag  # noqa: PLC0415 - a slow import

    for run in runs:
        tags = [RunTag(CURRENT, "false"), RunTag("superseded", successor)]
        client.log_batch(run.info.run_id, tags=tags)
        client.delete_run(run.info.run_id)


def search(client: MlflowClient, experiment: str, filters: str) -> list[MlflowRun]:
    """All runs that match, over all pages of the answer."""
    matches: list[MlflowRun] = []
    token: str | None = None
    while True:
        page = client.search_runs([experiment], filters, page_token=token)
        matches.extend(page)
        token = page.token
        if not token:
            return matches


def points(rows: Sequence[Mapping[str, float]]) -> dict[str, list[tuple[int, float]]]:
    """Rows of a history as metrics: `train/loss`, `val/dice`, ..."""
    series: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name != "step":
                key = f"val/{name[4:]}" if name.startswith("val_") else f"train/{name}"
                series.setdefault(key, []).append((int(row["step"]), value))
    return series


def parameters(description: Mapping[str, Any]) -> dict[str, object]:
    """A model's settings as flat parameters, such as `network.channels`; without paths."""
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
    for key, entry in value.items():
        if isinstance(entry, dict):
            yield from _flat(entry, f"{prefix}{key}.")
        elif isinstance(entry, list) and entry and isinstance(entry[0], dict):
            for index, part in enumerate(entry):
                yield from _flat(part, f"{prefix}{key}.{index}.")
        else:
            yield f"{prefix}{key}", json.dumps(entry) if isinstance(entry, list) else entry
