"""Artifacts move with their study: a copied or moved database is set to their new folder.

MLflow writes the whole path of every run's artifacts into its database. After a move it would find
nothing, and write into the folder that the study came from.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tenter.tracking.location import Place

if TYPE_CHECKING:
    from sqlalchemy import ColumnClause, Connection

OWNER = "tenter.artifacts"
"""Tag of an experiment whose artifacts lie in a study's folder: the study's name."""

_COLUMNS = (
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_log = logging.getLogger(__name__)


def is_made(address: str) -> bool:
    """Whether a database holds MLflow's tables and the default experiment that it creates."""
    import sqlalchemy  # noqa: PLC0415 - only tracking in a database needs it

    engine = sqlalchemy.create_engine(address)
    try:
        if not sqlalchemy.inspect(engine).has_table("experiments"):
            return False
        with engine.connect() as connection:
            query = sqlalchemy.text("SELECT 1 FROM experiments WHERE experiment_id = 0")
            return connection.execute(query).first() is not None
    finally:
        engine.dispose()


def relocate(address: str, place: Place, location: str | None) -> None:
    """Set the artifact folder of experiments and runs to its current location.

    Args:
        address: of the database.
        place: the mirrored study.
        location: current address of the folder of artifacts.
    """
    import sqlalchemy  # noqa: PLC0415 - only tracking in a database needs it

    if location is None:
        return
    engine = sqlalchemy.create_engine(address)
    try:
        with engine.begin() as connection:
            for experiment, old in list(_moved(connection, place, location)):
                _log.info(
                    "%s: artifacts are now read from %s, no longer from %s",
                    place.uri,
                    location,
                    old,
                )
                _rename(connection, experiment, old, location)
    finally:
        engine.dispose()


def is_elsewhere(stored: str, current: str) -> bool:
    """Whether two addresses name different folders; False unless both are of this machine."""
    old, new = _path(stored), _path(current)
    if old is None or new is None or old == new:
        return False
    return (
        not (old.exists() and new.exists() and old.samefile(new)) and old.resolve() != new.resolve()
    )


def _moved(connection: Connection, place: Place, location: str) -> Iterator[tuple[int, str]]:
    from sqlalchemy import text  # noqa: PLC0415 - only tracking in a database needs it

    query = (
        "SELECT e.experiment_id, e.artifact_location, t.value FROM experiments e "
        "LEFT JOIN experiment_tags t ON t.experiment_id = e.experiment_id AND t.key = :tag"
    )
    for experiment, stored, owner in connection.execute(text(query), {"tag": OWNER}):
        if place.database is None:
            belongs = owner == place.study
        else:
            belongs = owner is not None or _is_beside_a_database(stored, place.database)
        if belongs and is_elsewhere(stored, location):
            yield experiment, stored


def _is_beside_a_database(stored: str, database: Path) -> bool:
    """Whether an earlier version, which set no tag, created this folder beside a database."""
    path = _path(stored)
    return path is not None and path.parts[-2:] == (database.parent.name, "artifacts")


def _rename(connection: Connection, experiment: int, old: str, new: str) -> None:
    from sqlalchemy import column, func, literal, table, update  # noqa: PLC0415 - as above

    of_experiment = column("experiment_id") == experiment
    values = {"artifact_location": new}
    connection.execute(
        update(table("experiments", *map(column, values))).where(of_experiment).values(values)
    )
    for name, key in _COLUMNS:
        location: ColumnClause[str] = column(key)
        changed = literal(new) + func.substr(location, len(old) + 1)
        below = func.substr(location, 1, len(old) + 1) == f"{old}/"
        connection.execute(update(table(name, location)).where(below).values({key: changed}))


def _path(location: str) -> Path | None:
    """The folder of this machine that a location names, or None."""
    if location.startswith("/"):
        return Path(location)
    parts = urlsplit(location)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None
