"""Where runs are mirrored: the address, its database made once, its experiment, a client for it."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tenter import files, loading
from tenter.errors import TrackingError
from tenter.tracking.troubles import line, reason

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_SQLITE = "sqlite:///"
_REMEDY = "delete it and run the workflow again"
_KEYS: dict[str, files.Kind] = {
    "uri": str,
    "experiment": str,
    "experiment_id": (str, type(None)),
    "study": str,
    "timeout_s": (int, float),
    "manifest": str,
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where runs are mirrored.

    Attributes:
        uri: MLflow's tracking address.
        experiment: its name.
        experiment_id: None where the server was not reached when the study began.
        study: the study's name.
        timeout_s: longest time a training may lose to the mirror.
        manifest: sha256 of the cohort's table of pairs; a tag of every run.
    """

    uri: str
    experiment: str
    experiment_id: str | None
    study: str
    timeout_s: float = 10.0
    manifest: str = ""


def read_place(path: Path) -> Place:
    """Read `tracking.json`.

    Raises:
        DataError: it is missing or something else.
    """
    said = files.read_object(path, _KEYS, _REMEDY)
    try:
        return Place(**said)
    except TypeError as error:
        raise files.damaged(path, f"is not a record of a tracking server ({error})", _REMEDY) from error


def start(uri: str, experiment: str, study: str, timeout_s: float) -> Place:
    """Make the database, where it is one, and the experiment, once, before any fold wants them.

    A server that cannot be reached is left alone, with a warning: trainings then are not
    mirrored while they go, and publishing tries again.

    Raises:
        TrackingError: the database cannot be made.
    """
    place = Place(uri, experiment, None, study, timeout_s)
    try:
        return Place(uri, experiment, experiment_id(client(place), place), study, timeout_s)
    except Exception as error:
        if uri.startswith(_SQLITE):
            raise TrackingError(line(uri, "the tracking database cannot be made", error)) from error
        _log.warning("%s: not reached (%s); runs are mirrored when they are published", uri, reason(error))
        return place


def client(place: Place, retries: int = 0) -> MlflowClient:
    """A client whose every request ends soon; a SQLite database is made where there is none.

    Args:
        place: whose address.
        retries: after a request that failed.
    """
    timeout = max(1, min(3, int(place.timeout_s / 2)))
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = str(retries)
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(timeout)
    with loading.nothing_is_garbage():
        from mlflow.tracking import MlflowClient  # noqa: PLC0415 - seconds that only tracking shall cost

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It would log a traceback of each error of the database, which is raised as well.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    with _alone(place.uri):
        result = MlflowClient(tracking_uri=place.uri, registry_uri=place.uri)
        if place.uri.startswith(_SQLITE):
            result.search_experiments(max_results=1)
    return result


@contextlib.contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Let one process at a time make a SQLite database: two at once break its first migration."""
    if not uri.startswith(_SQLITE):
        yield
        return
    database = Path(uri.removeprefix(_SQLITE))
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(f"{database.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def experiment_id(client: MlflowClient, place: Place) -> str:
    """The experiment's id; made if it is not there yet, with artifacts beside a SQLite database."""
    found = client.get_experiment_by_name(place.experiment)
    if found is not None:
        return str(found.experiment_id)
    location = None
    if place.uri.startswith(_SQLITE):
        location = str(Path(place.uri.removeprefix(_SQLITE)).parent / "artifacts")
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - seconds that only tracking shall cost

    try:
        return str(client.create_experiment(place.experiment, artifact_location=location))
    except MlflowException:
        found = client.get_experiment_by_name(place.experiment)  # another process was first
        if found is None:
            raise
        return str(found.experiment_id)
