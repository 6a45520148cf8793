"""Whether published runs are still there: a light look that loads no MLflow, for when a workflow is read."""

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
from tenter.tracking.place import Place
from tenter.tracking.relocation import is_elsewhere

_PATIENCE_S = 2.0


def record(folder: Path, model: str) -> Path:
    """The file that remembers the runs that a model was published as."""
    return folder / f"{model}.json"


def read_record(folder: Path, model: str) -> dict[str, Any]:
    """What was published of a model; empty where nothing was."""
    try:
        found = files.read_json(record(folder, model))
    except DataError:
        return {}
    return found if isinstance(found, dict) else {}


def rebuilds(place: Place, models: Iterable[str]) -> dict[str, int]:
    """How often each model's runs had to be made anew as they were gone from the store, or moved with it.

    It is a parameter of publishing: one more than published means that it is to be done again. The same
    number is found afterwards, so nothing is done twice. A store that does not answer is not asked twice.

    Args:
        place: where the runs are; `folder` is that of the records.
        models: their names.
    """
    folder = place.folder or Path()
    records = {model: read_record(folder, model) for model in models}
    here = {model: found for model, found in records.items() if found.get("uri") == place.uri}
    counts = {model: int(found.get("rebuild", 0)) for model, found in records.items()}
    for experiment in {str(found["experiment_id"]) for found in here.values()}:
        there = active_runs(replace(place, experiment_id=experiment))
        if there is None:
            break
        for model, found in here.items():
            if str(found["experiment_id"]) == experiment and not set(found["runs"]) <= there:
                counts[model] += 1
    return counts


def active_runs(place: Place) -> set[str] | None:
    """Ids of the experiment's runs that are not deleted; None where the store does not say."""
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
        "SELECT r.run_uuid, e.artifact_location FROM runs r JOIN experiments e USING (experiment_id) "
        "WHERE r.lifecycle_stage = 'active' AND e.lifecycle_stage = 'active' AND experiment_id = ?"
    )
    now = (database.parent / "artifacts").as_uri()
    try:
        with contextlib.closing(
            sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=1)
        ) as opened:
            rows = opened.execute(query, (place.experiment_id,)).fetchall()
    except sqlite3.OperationalError as error:
        return set() if "no such table" in str(error) else None
    except sqlite3.DatabaseError:
        return None
    moved = place.folder is not None and database.parent == place.folder.absolute()
    return {run for run, location in rows if not (moved and is_elsewhere(location, now))}


def _in_database(place: Place) -> set[str] | None:
    import sqlalchemy  # noqa: PLC0415 - only tracking in a database needs it

    query = "SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active' AND experiment_id = :experiment"
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
    found: set[str] = set()
    token = ""
    while True:
        query = {"experiment_ids": [place.experiment_id], "max_results": 1000, "page_token": token}
        page = _asked(place, "runs/search", query)
        if page is None:
            return None
        if page.get("error_code") == "RESOURCE_DOES_NOT_EXIST":
            return set()
        if "error_code" in page:
            return None
        found |= {run["info"]["run_id"] for run in page.get("runs", ())}
        token = page.get("next_page_token", "")
        if not token:
            return found


def _asked(place: Place, call: str, query: Mapping[str, object]) -> dict[str, Any] | None:
    """What MLflow's REST interface answers; None where it is not JSON, or there is none."""
    address = addresses.without_login(place.address).rstrip("/")
    headers = {"Content-Type": "application/json", **_authorisation(place.address)}
    request = urllib.request.Request(  # noqa: S310 - http or https, as was asked before
        f"{address}/api/2.0/mlflow/{call}", json.dumps(query).encode(), headers
    )
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE_S) as response:  # noqa: S310 - as above
            found = json.load(response)
    except urllib.error.HTTPError as error:
        return _error(error)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _error(error: urllib.error.HTTPError) -> dict[str, Any] | None:
    try:
        found = json.load(error)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "error_code" in found else None


def _authorisation(address: str) -> dict[str, str]:
    user, password = addresses.login(address)
    user = user.replace(addresses.HIDDEN, "") or os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    password = password or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    token = os.environ.get("MLFLOW_TRACKING_TOKEN", "")
    if user:
        code = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {code}"}
    return {"Authorization": f"Bearer {token}"} if token else {}
