"""Where runs are mirrored: the address, and the record of it that trainings read."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tenter import addresses, files
from tenter.errors import TrackingError
from tenter.records import Fault
from tenter.study import Study

SQLITE = "sqlite:///"
_REMEDY = "delete it and run the workflow again"
_KEYS: dict[str, files.Kind] = {
    "uri": str,
    "experiment": str,
    "experiment_id": (str, type(None)),
    "study": str,
    "timeout_s": (int, float),
    "manifest": str,
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where runs are mirrored.

    Attributes:
        uri: MLflow's tracking address; a login in it reads `***`.
        experiment: its name.
        experiment_id: its id; None if the server was not reached when the study began.
        study: the study's name.
        timeout_s: longest delay of a training by the mirror.
        manifest: sha256 of the cohort's table of pairs; a tag of every run.
        folder: the study's folder for tracking, where a database keeps its artifacts.
    """

    uri: str
    experiment: str
    experiment_id: str | None
    study: str
    timeout_s: float = 10.0
    manifest: str = ""
    folder: Path | None = field(default=None, compare=False)

    @property
    def address(self) -> str:
        """The address to connect to, with the login that the environment holds.

        Raises:
            TrackingError: a database's login is not in the environment.
        """
        address = os.environ.get(addresses.VARIABLE, "")
        if address and addresses.shown(address) == self.uri:
            return address
        if not addresses.has_hidden_login(self.uri):
            return self.uri
        if addresses.scheme(self.uri) in addresses.WEB:
            return addresses.without_login(self.uri)
        fix = (
            f"set {addresses.VARIABLE} to the whole address, or run `tenter publish` with the "
            "study's configuration"
        )
        raise TrackingError(Fault(self.uri, "the login is not recorded", fix))

    @property
    def database(self) -> Path | None:
        """The file of a SQLite database; None for any other store."""
        if not self.uri.startswith(SQLITE):
            return None
        return Path(self.uri.removeprefix(SQLITE).partition("?")[0]).absolute()

    @property
    def everywhere(self) -> str:
        """The address in a form that is valid in every folder, quoted for a shell."""
        if self.database is None:
            return shlex.quote(self.uri)
        options = self.uri.partition("?")[1:]
        return shlex.quote(f"{SQLITE}{self.database}{''.join(options)}")


def place_of(study: Study) -> Place:
    """Where a study's runs are mirrored, according to its configuration."""
    return Place(
        uri=addresses.shown(study.tracking.uri),
        experiment=study.tracking.experiment,
        experiment_id=None,
        study=study.config.study,
        timeout_s=study.config.tracking.timeout_s,
        manifest=files.sha256(study.cohort.manifest),
        folder=study.results / "tracking",
    )


def read_place(path: Path) -> Place:
    """Read `tracking.json`.

    Raises:
        DataError: it is missing or not a record of a tracking server.
    """
    fields = files.read_object(path, _KEYS, _REMEDY)
    try:
        return Place(**fields, folder=path.parent)
    except TypeError as error:
        raise files.damaged(
            path, f"is not a record of a tracking server ({error})", _REMEDY
        ) from error


def write_place(path: Path, place: Place) -> None:
    """Write `tracking.json`, without its own folder, so that a study can be moved."""
    files.write_json(
        path, {name: value for name, value in asdict(place).items() if name != "folder"}
    )
