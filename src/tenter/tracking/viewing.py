"""How to view published runs: the command that opens MLflow, and addresses that compare runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tenter import addresses
from tenter.tracking.inventory import read_record
from tenter.tracking.location import Place

PORT = 5055
"""Port on which MLflow listens; its default, 5000, is in use on macOS."""

_VIEW = "workflowType=machine_learning"
"""Without this query, MLflow 3 opens its pages for language models."""


def of_model(place: Place, model: str, record: Mapping[str, Any]) -> str:
    """How to view one model's runs."""
    return "\n".join([*_opening(place), *_lines(place, model, record)]) + "\n"


def of_study(place: Place, models: Sequence[str]) -> str:
    """How to view all published runs of a study; empty if there are none.

    Args:
        place: where the runs are; its `folder` holds the records.
        models: names of models, in the order of the report.
    """
    folder = place.folder or Path()
    records = {model: read_record(folder, model) for model in models}
    records = {model: record for model, record in records.items() if record}
    if not records:
        return ""
    lines = [*_opening(place)]
    if len(records) > 1:
        first = next(iter(records.values()))
        parents = [record["parent"] for record in records.values()]
        lines.append(f"  compare models: {_comparison(place, parents, first['experiment_id'])}")
    for model, record in records.items():
        lines += _lines(place, model, record)
    return "\n".join(lines) + "\n"


def _opening(place: Place) -> list[str]:
    heading = f"MLflow experiment {place.experiment!r}, study {place.study!r}:"
    if addresses.scheme(place.uri) not in addresses.DATABASES:
        return [heading]
    return [
        heading,
        f"  open MLflow: mlflow ui --backend-store-uri {place.everywhere} --port {PORT}",
    ]


def _lines(place: Place, model: str, record: Mapping[str, Any]) -> list[str]:
    experiment, folds = record["experiment_id"], record["folds"]
    page = f"{_base(place)}/#/experiments/{experiment}/runs/{record['parent']}?{_VIEW}"
    return [
        f"  {model}, cross-validation: {page}",
        f"  {model}, {len(folds)} folds compared: {_comparison(place, folds, experiment)}",
    ]


def _comparison(place: Place, runs: Sequence[str], experiment: str) -> str:
    chosen, experiments = (quote(json.dumps(list(ids))) for ids in (runs, [experiment]))
    return f"{_base(place)}/#/compare-runs?runs={chosen}&experiments={experiments}&{_VIEW}"


def _base(place: Place) -> str:
    if addresses.scheme(place.uri) in addresses.WEB:
        return addresses.without_login(place.uri).rstrip("/")
    return f"http://127.0.0.1:{PORT}"
