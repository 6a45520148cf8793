"""Check whether published runs still exist, without loading MLflow, when a workflow is read."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tenter import addresses, files
from tenter.errors import DataError, TrackingError
from tenter.tracking.location import Place
from tenter.tracking.relocation import is_elsewhere

_PATIENCE_S = 2.0


def record(folder: Path, model: str) -> Path:
    """The file that records the published runs of a model."""
    return folder / f"{model}.json"


def read_record(folder: Path, model: str) -> dict[str, Any]:
    """The record of a model's published runs; empty if there is none."""
    try:
        content = files.read_json(record(folder, model))
    except DataError:
        return {}
    return content if isinstance(content, dict) else {}


def rebuilds(place: Place, models: Iterable[str]) -> dict[str, int]:
    """How often each model's runs were published again because they were gone or the store moved.

    The number is a parameter of publishing: if it is one more than recorded, the workflow publishes
    again and records it, so nothing is published twice. A store that does not answer is asked only
    once.

    Args:
        place: where the runs are; its `folder` holds the records.
        models: their names.
    """
    folder = place.folder or Path()
    records = {model: read_record(folder, model) for model in models}
    published = {model: entry for model, entry in records.items() if entry.get("uri") == place.uri}
    counts = {model: int(entry.get("rebuild", 0)) for model, entry in records.items()}
    for experiment in {str(entry["experiment_id"]) for entry in published.values()}:
        active = active_runs(replace(place, experiment_id=experiment))
        if active is None:
            break
        for model, entry in published.items():
            if str(entry["experiment_id"]) == experiment and not set(entry["runs"]) <= active:
                counts[model] += 1
    return counts


def active_runs(place: Place) -> set[str] | None:
    """Ids of the experiment's runs that are not deleted; None if the store does not answer."""
    kind = addresses.scheme(place.uri)
    try:
        if kind == "sqlite":
            return _in_sqlite(place)
        if kind in addresses.DATABASES:
            return _in_database(place)
        return _on_server(place) if kind in addresses.WEB else None
    except TrackingError:
        return None


def _in_sqlite(place: Place) -> set[str] | None:
    database = place.database
    if database is None or not database.exists():
        return set()
    query = (
        "SELECT r.run_uuid, e.artifact_location FROM runs r JOIN experiments e "
        "USING (experiment_id) WHERE r.lifecycle_stage = 'active' "
        "AND e.lifecycle_stage = 'active' AND experiment_id = ?"
    )
    artifacts_uri = (database.parent / "artifacts").as_uri()
    try:
        with contextlib.closing(
            sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=1)
        ) as connection:
            rows = connection.execute(query, (place.experiment_id,)).fetchall()
    except sqlite3.OperationalError as error:
        return set() if "no such table" in str(error) else None
    except sqlite3.DatabaseError:
        return None
    moved = place.folder is not None and database.parent == place.folder.absolute()
    return {run for run, location in rows if not (moved and is_elsewhere(location, artifacts_uri))}


def _in_database(place: Place) -> set[str] | None:
    import sqlalchemy  # noqa: PLC0415 - only tracking in a database needs it

    query = (
        "SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active' AND experiment_id = :experiment"
    )
    limits = {"connect_timeout": int(_PATIENCE_S)}
    try:
        engine = sqlalchemy.create_engine(place.address, connect_args=limits)
        with engine.connect() as connection:
            if not sqlalchemy.inspect(connection).has_table("runs"):
                return set()
            values = {"experiment": int(place.experiment_id or 0)}
            return set(connection.execute(sqlalchemy.text(query), values).scalars())
    except (sqlalchemy.exc.SQLAlchemyError, ModuleNotFoundError, TypeError):
        return None


def _on_server(place: Place) -> set[str] | None:
    run_ids: set[str] = set()
    token = ""
    while True:
        query = {"experiment_ids": [place.experiment_id], "max_results": 1000, "page_token": token}
        page = _request(place, "runs/search", query)
        if page is None:
            return None
        if page.get("error_code") == "RESOURCE_DOES_NOT_EXIST":
            return set()
        if "error_code" in page:
            return None
        run_ids |= {run["info"]["run_id"] for run in page.get("runs", ())}
        token = page.get("next_page_token", "")
        if not token:
            return run_ids


def _request(place: Place, call: str, query: Mapping[str, object]) -> dict[str, Any] | None:
    """The answer of MLflow's REST interface; None if there is none or it is not JSON."""
    address = addresses.without_login(place.address).rstrip("/")
    headers = {"Content-Type": "application/json", **_authorisation(place.address)}
    request = urllib.request.Request(  # noqa: S310 - http or https, as checked before
        f"{address}/api/2.0/mlflow/{call}", json.dumps(query).encode(), headers
    )
    try:
        # As above, the address is http or https.
        with urllib.request.urlopen(request, timeout=_PATIENCE_S) as response:  # noqa: S310
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        return _error(error)
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


def _error(error: urllib.error.HTTPError) -> dict[str, Any] | None:
    try:
        body = json.load(error)
    except ValueError:
        return None
    return body if isinstance(body, dict) and "error_code" in body else None


def _authorisation(address: str) -> dict[str, str]:
    user, password = addresses.login(address)
    user = user.replace(addresses.HIDDEN, "") or os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    password = password or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    token = os.environ.get("MLFLOW_TRACKING_TOKEN", "")
    if user:
        code = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {code}"}
    return {"Authorization": f"Bearer {token}"} if token else {}
