"""MLflow's store: its client, database, experiment and location of artifacts."""

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
from tenter.tracking.diagnosis import examine, trashed
from tenter.tracking.environment import settle
from tenter.tracking.failures import failed, reason
from tenter.tracking.location import Place

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
    """Create the database, if the store is one, and the experiment, before any fold needs them.

    A store that cannot be used is left unchanged, with a warning that says what to do: trainings
    are not mirrored while they run, and publishing tries again.

    Args:
        uri: MLflow's tracking address; a login in it is kept in the environment only.
        experiment: its name.
        study: the study's name.
        timeout_s: longest delay of a training by the mirror.
        manifest: sha256 of the cohort's table of pairs.
        folder: the study's folder for tracking.

    Returns:
        the place, with the experiment's id if there is one.

    Raises:
        InputError: the address is not one of a tracking server.
        TrackingError: the database cannot be created.
    """
    masked_uri = addresses.conceal(uri, os.environ)
    place = Place(masked_uri, experiment, None, study, timeout_s, manifest, folder)
    invalid = addresses.fault(uri)
    if invalid is not None:
        raise InputError([Fault(masked_uri, *invalid, column="tracking.uri")])
    if addresses.has_hidden_login(masked_uri):
        _log.warning("%s", Fault(masked_uri, *addresses.EXPOSED).text)
    fault = examine(place)
    if fault is not None:
        _log.warning("%s; training goes on, and `publish` mirrors it afterwards", fault.text)
        return place
    try:
        return replace(place, experiment_id=experiment_id(client(place), place))
    except Exception as error:
        if place.database is not None:
            raise TrackingError(
                failed(place, "the tracking database cannot be created", error)
            ) from error
        text = "%s: not reached (%s); training goes on, and `publish` mirrors it afterwards"
        _log.warning(text, place.uri, reason(error, place))
        return place


def client(place: Place, retries: int = 0) -> MlflowClient:
    """A client whose requests have short time limits; creates the database if there is none.

    Args:
        place: the store.
        retries: number of retries after a failed request.
    """
    settle(place, retries)
    with loading.gc_paused():
        from mlflow.tracking import MlflowClient  # noqa: PLC0415 - a slow import

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    address = place.address
    if addresses.scheme(address) not in addresses.DATABASES:
        address = addresses.without_login(address)
        return MlflowClient(tracking_uri=address, registry_uri=address)
    with _locked(place.database):
        _create_tables(address, place)
        relocation.relocate(address, place, artifacts(place))
        result = MlflowClient(tracking_uri=address, registry_uri=address)
        result.search_experiments(max_results=1)
    return result


def artifacts(place: Place) -> str | None:
    """Where an experiment's artifacts go; None where the server decides.

    The address is percent-encoded: MLflow writes it into SQL, where a quote would end a string,
    and decodes `%` even in a plain path.
    """
    if place.database is not None:
        return (place.database.parent / ARTIFACTS).as_uri()
    if addresses.scheme(place.uri) in addresses.DATABASES and place.folder is not None:
        return (place.folder.absolute() / ARTIFACTS).as_uri()
    return None


def _create_tables(address: str, place: Place) -> None:
    """Create the tables of a new database, or complete them if that failed halfway.

    MLflow's client would put the artifacts of its default experiment below the working folder,
    whose name it writes into SQL without encoding.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - as above

    if not relocation.is_made(address):
        SqlAlchemyStore(address, artifacts(place) or f"./{ARTIFACTS}")


@contextlib.contextmanager
def _locked(database: Path | None) -> Iterator[None]:
    """Let one process at a time create a SQLite database: two at once break its first migration."""
    if database is None:
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(f"{database.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def experiment_id(client: MlflowClient, place: Place) -> str:
    """The experiment's id; created if missing, with artifacts beside a SQLite database.

    Raises:
        TrackingError: it is in the trash.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - a slow import

    experiment = client.get_experiment_by_name(place.experiment)
    if experiment is None:
        location = artifacts(place)
        tags = {relocation.OWNER: place.study} if location else {}
        try:
            return str(
                client.create_experiment(place.experiment, artifact_location=location, tags=tags)
            )
        except MlflowException:
            experiment = client.get_experiment_by_name(
                place.experiment
            )  # another process was first
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":
        raise TrackingError(trashed(place, str(experiment.experiment_id)))
    return str(experiment.experiment_id)
