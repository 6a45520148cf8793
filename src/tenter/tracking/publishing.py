"""A finished model's mirror made whole: a parent run, a run a fold, figures and files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tenter import files
from tenter.errors import TrackingError
from tenter.tracking import runs
from tenter.tracking.place import Place, client, experiment_id
from tenter.tracking.troubles import line

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_RETRIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldResult:
    """A finished fold, as its files tell.

    Attributes:
        description: what `model.json` holds.
        history: rows of `history.csv`.
        figures: of the pairs that the fold registered, by metric.
        artifacts: files of the model.
    """

    description: Mapping[str, Any]
    history: Sequence[Mapping[str, float]] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    artifacts: Sequence[Path] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelResult:
    """A finished cross-validation.

    Attributes:
        model: its name.
        folds: its finished folds; at least one.
        figures: of all pairs together, by metric.
        artifacts: tables of figures.
        options: figures of each test-time option of the model, by its name and by metric.
    """

    model: str
    folds: Sequence[FoldResult]
    figures: Mapping[str, float] = field(default_factory=dict)
    artifacts: Sequence[Path] = ()
    options: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def publish(place: Place, result: ModelResult) -> str:
    """Make the mirror of a model whole; doing it again changes nothing.

    Args:
        place: where to.
        result: what there is to show.

    Returns:
        how to look at the runs, and the address of the page that compares the folds.

    Raises:
        TrackingError: the server cannot be reached, or refuses.
    """
    try:
        server = client(place, _RETRIES)
        place = replace(place, experiment_id=experiment_id(server, place))
        parent = _parent(server, place, result)
        children = [_child(server, place, result.model, fold, parent) for fold in result.folds]
        options = [_option(server, place, result.model, item, parent) for item in result.options.items()]
        filters = f"tags.`tenter.model` = '{result.model}' and tags.`tenter.study` = '{place.study}'"
        kept = {parent, *children, *options}
        found = runs.search(server, str(place.experiment_id), filters)
        runs.retire(server, [run for run in found if run.info.run_id not in kept], parent)
    except Exception as error:
        raise TrackingError(line(place.uri, f"{result.model} cannot be published", error)) from error
    return _invitation(place, result.model, parent, children)


def _parent(server: MlflowClient, place: Place, result: ModelResult) -> str:
    first = result.folds[0].description
    config = first["identity"]["settings"]
    run = runs.current(server, place, result.model, files.digest(config))
    skipped = run.revise(result.figures)
    tags = {
        "role": "cv",
        "tenter.model": result.model,
        "tenter.config": config,
        "tenter.manifest": place.manifest,
        "tenter.nonfinite": skipped,
        runs.RUN_NAME: result.model,
        runs.COMMIT: first.get("provenance", {}).get("commit"),
    }
    own = {"fold", *runs.COUNTS}
    run.describe({key: value for key, value in runs.parameters(first).items() if key not in own}, tags)
    run.attach(result.artifacts, "tables")
    run.finish()
    return run.id


def _child(server: MlflowClient, place: Place, model: str, fold: FoldResult, parent: str) -> str:
    run = runs.fold_run(server, place, model, fold.description)
    skipped = run.fill(runs.points(fold.history)) + run.revise(fold.figures)
    run.describe({}, {runs.PARENT: parent, "tenter.nonfinite": skipped})
    run.attach(fold.artifacts, "model")
    run.finish()
    return run.id


def _option(
    server: MlflowClient, place: Place, model: str, option: tuple[str, Mapping[str, float]], parent: str
) -> str:
    """The run of a test-time option: beside the folds, with figures and nothing else."""
    name, figures = option
    run = runs.current(server, place, f"{model}/test-time/{name}", name)
    skipped = run.revise(figures)
    tags = {
        "role": "test-time",
        "tenter.model": model,
        "tenter.option": name,
        "tenter.nonfinite": skipped,
        runs.RUN_NAME: name,
        runs.PARENT: parent,
    }
    run.describe({}, tags)
    run.finish()
    return run.id


def _invitation(place: Place, model: str, parent: str, children: Sequence[str]) -> str:
    served = place.uri.startswith("http")
    base = place.uri.rstrip("/") if served else "http://127.0.0.1:5000"
    compared, experiments = (quote(json.dumps(list(ids))) for ids in (children, [place.experiment_id]))
    lines = [
        f"{model}: {len(children)} folds in the MLflow experiment {place.experiment!r}, study {place.study!r}"
    ]
    lines += [] if served else [f"  mlflow ui --backend-store-uri {place.uri}"]
    lines += [
        f"  folds: {base}/#/compare-runs?runs={compared}&experiments={experiments}",
        f"  cross-validation: {base}/#/experiments/{place.experiment_id}/runs/{parent}",
    ]
    return "\n".join(lines) + "\n"
