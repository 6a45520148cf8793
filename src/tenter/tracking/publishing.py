"""Publish a finished model: a parent run, one run per fold, figures and files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenter import addresses, files
from tenter.errors import InputError, TrackingError
from tenter.records import Fault
from tenter.tracking import runs, viewing
from tenter.tracking.diagnosis import examine
from tenter.tracking.failures import failed
from tenter.tracking.inventory import read_record, record
from tenter.tracking.location import Place
from tenter.tracking.runs import Span
from tenter.tracking.store import client, experiment_id

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_RETRIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldResult:
    """A finished fold, as read from its files.

    Attributes:
        description: content of `model.json`.
        history: rows of `history.csv`.
        figures: of the pairs that the fold registered, by metric.
        artifacts: files of the model.
        span: start and end of the training; None if unknown.
    """

    description: Mapping[str, Any]
    history: Sequence[Mapping[str, float]] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    artifacts: Sequence[Path] = ()
    span: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionResult:
    """A test-time option of a model.

    Attributes:
        figures: of all pairs together, by metric.
        summary: its result in sentences.
    """

    figures: Mapping[str, float] = field(default_factory=dict)
    summary: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelResult:
    """A finished cross-validation.

    Attributes:
        model: its name.
        folds: its finished folds; at least one.
        figures: of all pairs together, by metric.
        artifacts: name of each artifact to its file, or its text.
        summary: the result in sentences.
        reference: model that the differences among the figures refer to, or None.
        options: each test-time option of the model, by its name.
    """

    model: str
    folds: Sequence[FoldResult]
    figures: Mapping[str, float] = field(default_factory=dict)
    artifacts: Mapping[str, Path | str] = field(default_factory=dict)
    summary: str = ""
    reference: str | None = None
    options: Mapping[str, OptionResult] = field(default_factory=dict)


def publish(place: Place, result: ModelResult, rebuild: int | None = None) -> str:
    """Publish a model completely; publishing it again changes nothing.

    Runs whose figures changed are replaced: each figure is one point.

    Args:
        place: where to publish.
        result: the model's results.
        rebuild: how often the runs were published again because they were gone from the store;
            default: the recorded number.

    Returns:
        how to view the runs, and the address of the page that compares the folds.

    Raises:
        InputError: the address is not one of a tracking server.
        TrackingError: the server cannot be reached, or refuses.
    """
    address = place.uri
    place = replace(place, uri=addresses.conceal(address, os.environ))
    _require_usable(place, address, result.model)
    try:
        server = client(place, _RETRIES)
        place = replace(place, experiment_id=experiment_id(server, place))
        published = _mirrored(server, place, result)
    except Exception as error:
        raise TrackingError(failed(place, f"{result.model} cannot be published", error)) from error
    if place.folder is not None:
        before = read_record(place.folder, result.model).get("rebuild", 0)
        files.write_json(
            record(place.folder, result.model),
            {"rebuild": before if rebuild is None else rebuild, **published},
        )
    return viewing.of_model(place, result.model, published)


def _require_usable(place: Place, address: str, model: str) -> None:
    invalid = addresses.fault(address)
    if invalid is not None:
        raise InputError([Fault(place.uri, *invalid, column="tracking.uri")])
    fault = examine(place)
    if fault is not None:
        message = f"{model} cannot be published: {fault.message}"
        raise TrackingError(replace(fault, message=message))


def _mirrored(server: MlflowClient, place: Place, result: ModelResult) -> dict[str, Any]:
    """Publish all runs of a model and return their record."""
    parent = _parent(server, place, result)
    folds = [_fold(server, place, result.model, fold, parent) for fold in result.folds]
    options = [_option(server, place, result, name, parent) for name in result.options]
    run_ids = [parent, *folds, *options]
    of_study = runs.search(
        server, str(place.experiment_id), f"tags.`tenter.study` = '{place.study}'"
    )
    keys = {run.info.run_id: run.data.tags.get(runs.KEY, "") for run in of_study}
    model_runs = [
        run for run in of_study if keys[run.info.run_id].partition("/")[0] == result.model
    ]
    runs.retire(server, [run for run in model_runs if run.info.run_id not in run_ids], parent)
    return {
        "uri": place.uri,
        "experiment": place.experiment,
        "experiment_id": str(place.experiment_id),
        "parent": parent,
        "folds": folds,
        "runs": run_ids,
    }


def _span(result: ModelResult) -> Span | None:
    """From the start of the first training to the end of the last one."""
    spans = [fold.span for fold in result.folds if fold.span is not None]
    return (min(begin for begin, _ in spans), max(end for _, end in spans)) if spans else None


def _parent(server: MlflowClient, place: Place, result: ModelResult) -> str:
    first = result.folds[0].description
    config = first["identity"]["settings"]
    content = files.digest(result.figures)
    run = runs.current(server, place, result.model, (files.digest(config), content), _span(result))
    run.state(result.figures, content)
    tags = {
        "role": "cv",
        "tenter.model": result.model,
        "tenter.reference": result.reference,
        "tenter.config": config,
        "tenter.manifest": place.manifest,
        runs.RUN_NAME: result.model,
        runs.NOTE: result.summary or None,
        **runs.source(first.get("provenance", {})),
    }
    per_fold = {"fold", *runs.COUNTS}
    run.describe(
        {key: value for key, value in runs.parameters(first).items() if key not in per_fold}, tags
    )
    run.attach("study", result.artifacts)
    run.finish(_span(result))
    return run.id


def _fold(server: MlflowClient, place: Place, model: str, fold: FoldResult, parent: str) -> str:
    content = files.digest([fold.figures, fold.description.get("weights_sha256")])
    run = runs.fold_run(server, place, model, fold.description, content=content, span=fold.span)
    run.fill(runs.points(fold.history))
    run.state(fold.figures, content)
    name, counts = fold.description["fold"], runs.parameters(fold.description)
    note = f"Fold {name} of model {model}, trained on {counts[runs.COUNTS[0]]} pairs."
    run.describe({}, {runs.PARENT: parent, runs.NOTE: note})
    run.attach("model", {f"model/{path.name}": path for path in fold.artifacts})
    run.finish(fold.span)
    return run.id


def _option(server: MlflowClient, place: Place, result: ModelResult, name: str, parent: str) -> str:
    """The run of a test-time option: beside the folds, with figures only."""
    option, content = result.options[name], files.digest(result.options[name].figures)
    span = _span(result)
    at_end = (span[1], span[1]) if span else None  # no training; its duration is a figure
    run = runs.current(server, place, f"{result.model}/test-time/{name}", (name, content), at_end)
    run.state(option.figures, content)
    tags = {
        "role": "test-time",
        "tenter.model": result.model,
        "tenter.option": name,
        "tenter.manifest": place.manifest,
        runs.RUN_NAME: name,
        runs.PARENT: parent,
        runs.NOTE: option.summary or None,
        **runs.source(result.folds[0].description.get("provenance", {})),
    }
    run.describe({}, tags)
    run.finish(at_end)
    return run.id
