"""Check whether a store can be used, before anything is written; if not, why and what to do."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenter import addresses
from tenter.errors import TrackingError
from tenter.records import Fault
from tenter.tracking.environment import settle
from tenter.tracking.location import Place

if TYPE_CHECKING:
    from requests import Response
    from sqlalchemy import Connection

_LOGIN_VARIABLES = (
    "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN)"
)
_DATABASE_LOGIN = (
    "give the login in the environment (for PostgreSQL PGUSER and PGPASSWORD), or in tracking.uri"
)


def examine(place: Place) -> Fault | None:
    """Why a store cannot be used now, or None; writes nothing and waits for no answer for long."""
    try:
        address = place.address
    except TrackingError as error:
        return error.faults[0]
    kind = addresses.scheme(address)
    if kind in addresses.WEB:
        return _examine_server(place)
    if kind in addresses.DATABASES and (place.database is None or place.database.exists()):
        return _examine_database(place)
    return None


def trashed(place: Place, experiment: str) -> Fault:
    """The fault that an experiment is deleted, with how to restore it."""
    return Fault(
        place.uri,
        f"experiment {place.experiment!r} is in the trash",
        f"restore it with `MLFLOW_TRACKING_URI={place.everywhere} mlflow experiments restore "
        f"--experiment-id {experiment}`{_login_hint(place)}, or name another in "
        "tracking.experiment",
    )


def _login_hint(place: Place) -> str:
    return " (with the login in place of ***)" if addresses.HIDDEN in place.uri else ""


def _examine_database(place: Place) -> Fault | None:
    import sqlalchemy  # noqa: PLC0415 - only tracking in a database needs it

    if place.database is not None and not place.database.is_file():
        return Fault(place.uri, "is not a file", "name a database file in tracking.uri")
    try:
        engine = sqlalchemy.create_engine(place.address, connect_args=_limits(place))
        try:
            with engine.connect() as connection:
                return _schema(place, connection) or _experiment(place, connection)
        finally:
            engine.dispose()
    except ModuleNotFoundError as error:
        return Fault(
            place.uri, f"the database's driver {error.name} is missing", _driver(str(error.name))
        )
    except sqlalchemy.exc.SQLAlchemyError as error:
        return _database_error(place, error)


def _limits(place: Place) -> dict[str, object]:
    kind = addresses.scheme(place.uri)
    return {"connect_timeout": 3} if kind in {"postgresql", "mysql"} else {}


def _driver(module: str) -> str:
    package = {"psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}.get(module, module)
    return f"install it with `pip install {package}`"


def _database_error(place: Place, error: Exception) -> Fault:
    cause = getattr(error, "orig", None) or error
    text = addresses.masked(" ".join(str(cause).split()), place.address)[:200]
    if place.database is not None:
        moved = shlex.quote(f"{place.database}.damaged")
        command = f"mv {shlex.quote(str(place.database))} {moved}"
        fix = f"set it aside with `{command}`: publishing writes a new one from the study's files"
        return Fault(place.uri, f"the SQLite database cannot be read ({text})", fix)
    if any(
        fragment in text.lower()
        for fragment in ("password", "authentication", "access denied", "role")
    ):
        return Fault(place.uri, f"the database refuses the login ({text})", _DATABASE_LOGIN)
    if "does not exist" in text or "Unknown database" in text:
        name = place.uri.partition("://")[2].partition("/")[2].partition("?")[0]
        return Fault(
            place.uri,
            f"not reached ({text})",
            f"create the database (PostgreSQL: `createdb {name}`)",
        )
    return Fault(
        place.uri, f"not reached ({text})", "start the database server, or correct tracking.uri"
    )


def _schema(place: Place, connection: Connection) -> Fault | None:
    """A fault if the tables are not those of the installed MLflow."""
    import mlflow.store.db_migrations as migrations  # noqa: PLC0415 - a slow import
    import sqlalchemy  # noqa: PLC0415 - only tracking in a database needs it
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as above

    if not sqlalchemy.inspect(connection).has_table("alembic_version"):
        return None
    version = connection.execute(
        sqlalchemy.text("SELECT version_num FROM alembic_version")
    ).scalar()
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    if version == scripts.get_current_head():
        return None
    if version not in {script.revision for script in scripts.walk_revisions()}:
        return Fault(
            place.uri,
            f"the database was written by a newer MLflow than the one installed (schema {version})",
            "install that MLflow here: `pip install --upgrade mlflow`",
        )
    command = f"mlflow db upgrade {place.everywhere}"
    fix = f"upgrade it with `{command}`{_login_hint(place)}, after a backup"
    return Fault(place.uri, f"the database was written by an older MLflow (schema {version})", fix)


def _experiment(place: Place, connection: Connection) -> Fault | None:
    import sqlalchemy  # noqa: PLC0415 - only tracking in a database needs it

    if not sqlalchemy.inspect(connection).has_table("experiments"):
        return None
    query = sqlalchemy.text(
        "SELECT experiment_id, lifecycle_stage FROM experiments WHERE name = :name"
    )
    row = connection.execute(query, {"name": place.experiment}).first()
    return trashed(place, str(row[0])) if row is not None and row[1] == "deleted" else None


def _examine_server(place: Place) -> Fault | None:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - a slow import
    from mlflow.utils.credentials import get_default_host_creds  # noqa: PLC0415 - as above
    from mlflow.utils.rest_utils import http_request  # noqa: PLC0415 - as above

    settle(place)
    try:
        response = http_request(
            get_default_host_creds(addresses.without_login(place.address).rstrip("/")),
            "/api/2.0/mlflow/experiments/get-by-name",
            "GET",
            max_retries=0,
            timeout=3,
            raise_on_status=False,
            params={"experiment_name": place.experiment},
        )
    except MlflowException as error:
        return _unreached(place, str(error))
    return _answer(place, response)


def _unreached(place: Place, text: str) -> Fault:
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text:
        return Fault(place.uri, "the server does not speak https", "write http:// in tracking.uri")
    if "CERTIFICATE_VERIFY_FAILED" in text:
        fix = "give the path of its certificate in MLFLOW_TRACKING_SERVER_CERT_PATH"
        return Fault(place.uri, "the server's certificate is not trusted here", fix)
    if "NameResolution" in text or "Name or service not known" in text:
        return Fault(place.uri, "there is no such host", "correct the host in tracking.uri")
    if "Connection refused" in text:
        return Fault(
            place.uri,
            "not reached: nothing listens there",
            "start the server, or correct tracking.uri",
        )
    short = addresses.masked(" ".join(text.split()), place.address)
    return Fault(
        place.uri, f"not reached ({short[-160:]})", "start the server, or correct tracking.uri"
    )


def _answer(place: Place, response: Response) -> Fault | None:
    body = _json(response)
    if response.status_code == 401:
        has_login = (
            addresses.has_hidden_login(place.uri) or "MLFLOW_TRACKING_USERNAME" in os.environ
        )
        message = "the server refuses the login" if has_login else "the server wants a login"
        return Fault(place.uri, message, f"set {_LOGIN_VARIABLES}")
    if response.status_code == 403:
        excerpt = " ".join(response.text.split())[:120]
        return Fault(
            place.uri, f"the server allows no access ({excerpt})", "ask who runs it for permission"
        )
    if response.status_code in {429, 500, 502, 503, 504}:
        text = f"the server answers with error {response.status_code}"
        return Fault(place.uri, text, "check that it runs, and try again")
    experiment = body.get("experiment")
    if isinstance(experiment, dict) and response.status_code == 200:
        return (
            trashed(place, str(experiment["experiment_id"]))
            if experiment.get("lifecycle_stage") == "deleted"
            else None
        )
    if body.get("error_code") == "RESOURCE_DOES_NOT_EXIST":
        return None
    kind = response.headers.get("content-type", "no content").partition(";")[0]
    return Fault(
        place.uri,
        f"what answers there is not an MLflow server (status {response.status_code}, {kind})",
        "give the address at which `mlflow server` runs in tracking.uri",
    )


def _json(response: Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
