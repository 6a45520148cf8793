"""MLflow's store: a client for it, its database made once, its experiment, where its artifacts lie."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tenter import addresses, loading
from tenter.errors import InputError, TrackingError
from tenter.records import Fault
from tenter.tracking import relocation
from tenter.tracking.environment import settle
from tenter.tracking.examination import examine, trashed
from tenter.tracking.place import Place
from tenter.tracking.troubles import line, reason

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

ARTIFACTS = "artifacts"
_log = logging.getLogger(__name__)


def start(
    uri: str,
    experiment: str,
    study: str,
    timeout_s: float,
    *,
    manifest: str = "",
    folder: Path | None = None,
) -> Place:
    """Make the database, where it is one, and the experiment, once, before any fold wants them.

    A store that cannot be used as it is now is left alone, with a warning that says what to do: trainings
    are not mirrored while they go, and publishing tries again.

    Args:
        uri: MLflow's tracking address; a login in it is kept in the environment alone.
        experiment: its name.
        study: the study's name.
        timeout_s: longest time a training may lose to the mirror.
        manifest: sha256 of the cohort's table of pairs.
        folder: the study's folder for tracking.

    Returns:
        the place, with the experiment's id where there is one.

    Raises:
        InputError: nothing can ever answer at the address.
        TrackingError: the database cannot be made.
    """
    shown = addresses.conceal(uri, os.environ)
    place = Place(shown, experiment, None, study, timeout_s, manifest, folder)
    found = addresses.fault(uri)
    if found is not None:
        raise InputError([Fault(shown, *found, column="tracking.uri")])
    if addresses.has_hidden_login(shown):
        _log.warning("%s: %s", shown, addresses.EXPOSED)
    complaint = examine(place)
    if complaint is not None:
        _log.warning("%s: %s; training goes on, and `publish` mirrors it afterwards", place.uri, complaint)
        return place
    try:
        return replace(place, experiment_id=experiment_id(client(place), place))
    except Exception as error:
        if place.database is not None:
            raise TrackingError(line(place, "the tracking database cannot be made", error)) from error
        text = "%s: not reached (%s); training goes on, and `publish` mirrors it afterwards"
        _log.warning(text, place.uri, reason(error, place))
        return place


def client(place: Place, retries: int = 0) -> MlflowClient:
    """A client whose every request ends soon; a database is made where there is none.

    Args:
        place: whose address.
        retries: after a request that failed.
    """
    settle(place, retries)
    with loading.nothing_is_garbage():
        from mlflow.tracking import MlflowClient  # noqa: PLC0415 - seconds that only tracking shall cost

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    address = place.address
    if addresses.scheme(address) not in addresses.DATABASES:
        address = addresses.without_login(address)
        return MlflowClient(tracking_uri=address, registry_uri=address)
    with _alone(place.database):
        _make(address, place)
        relocation.relocate(address, place, artifacts(place))
        result = MlflowClient(tracking_uri=address, registry_uri=address)
        result.search_experiments(max_results=1)
    return result


def artifacts(place: Place) -> str | None:
    """Where an experiment's artifacts go; None where the server decides.

    An address with `%27` and the like: MLflow writes it into SQL, where a quote would end a text,
    and takes `%` in a plain path for such a code.
    """
    if place.database is not None:
        return (place.database.parent / ARTIFACTS).as_uri()
    if addresses.scheme(place.uri) in addresses.DATABASES and place.folder is not None:
        return (place.folder.absolute() / ARTIFACTS).as_uri()
    return None


def _make(address: str, place: Place) -> None:
    """Make the tables of a fresh database, or the rest where that failed halfway.

    MLflow's client would put the artifacts of its default experiment below the working folder, whose
    name it writes into SQL as it stands.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - as MLflow's client

    if not relocation.is_made(address):
        SqlAlchemyStore(address, artifacts(place) or f"./{ARTIFACTS}")


@contextlib.contextmanager
def _alone(database: Path | None) -> Iterator[None]:
    """Let one process at a time make a SQLite database: two at once break its first migration."""
    if database is None:
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(f"{database.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def experiment_id(client: MlflowClient, place: Place) -> str:
    """The experiment's id; made if it is not there yet, with artifacts beside a SQLite database.

    Raises:
        TrackingError: it is in the trash.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - seconds that only tracking shall cost

    found = client.get_experiment_by_name(place.experiment)
    if found is None:
        location = artifacts(place)
        tags = {relocation.OWNER: place.study} if location else {}
        try:
            return str(client.create_experiment(place.experiment, artifact_location=location, tags=tags))
        except MlflowException:
            found = client.get_experiment_by_name(place.experiment)  # another process was first
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        message = f"{place.uri}: {trashed(place, str(found.experiment_id))}"
        raise TrackingError(message)
    return str(found.experiment_id)
