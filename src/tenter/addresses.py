"""Addresses of tracking stores: masking of their logins, and detection of invalid ones."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from urllib.parse import unquote, urlsplit

VARIABLE = "TENTER_TRACKING_URI"
"""Environment variable for an address with its login, which is in no file or command line."""

HIDDEN = "***"
"""Placeholder for a login."""

EXPOSED = (
    (
        "the address holds a login, which whoever reads the configuration "
        "(or Snakemake's --report) can see"
    ),
    (
        "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD "
        "(PostgreSQL: PGUSER and PGPASSWORD) instead"
    ),
)
"""Warning about a login in a configuration: message and fix."""

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
WEB = ("http", "https")

_LOGIN = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<login>.*)@", re.DOTALL)
_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]*")
_SECRET = re.compile(r"(?i)([?&;](?:password|passwd|pwd|user|token)=)[^&;\s'\"]*")
_SHORTEST_SECRET = 4
"""Minimum length of a password to be masked in text; a shorter one would match anything."""


def shown(uri: str) -> str:
    """An address for printing and recording, with `***` instead of its login."""
    if scheme(uri) == "sqlite":
        return uri
    return _SECRET.sub(rf"\g<1>{HIDDEN}", _LOGIN.sub(rf"\g<scheme>{HIDDEN}@", uri))


def masked(text: str, uri: str = "") -> str:
    """Mask the logins of all addresses in a text, and the login and password of `uri`."""
    if uri:
        text = text.replace(uri, shown(uri))
    text = _IN_TEXT.sub(lambda match: shown(match[0]), text)
    for secret in _passwords(uri):
        text = text.replace(secret, HIDDEN)
    return text


def masked_values(value: object) -> object:
    """A value of a configuration with the logins of all addresses masked."""
    if isinstance(value, dict):
        return {key: masked_values(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [masked_values(entry) for entry in value]
    return shown(value) if isinstance(value, str) else value


def has_login(uri: str) -> bool:
    """Whether an address holds a login; `***` is not one."""
    return shown(uri) != uri


def has_hidden_login(uri: str) -> bool:
    """Whether the login of an address is masked by `***`."""
    return has_login(uri.replace(HIDDEN, "x")) and not has_login(uri)


def conceal(uri: str, environment: MutableMapping[str, str]) -> str:
    """Keep an address with a login in the environment, for this process and those it starts.

    Returns:
        the address with its login masked.
    """
    if has_login(uri):
        environment[VARIABLE] = uri
    return shown(uri)


def login(uri: str) -> tuple[str, str]:
    """User and password of a web address; empty where it has none."""
    parts = urlsplit(uri)
    return unquote(parts.username or ""), unquote(parts.password or "")


def without_login(uri: str) -> str:
    """An address without its login, masked or not."""
    return _LOGIN.sub(r"\g<scheme>", uri)


def scheme(uri: str) -> str:
    """`http`, `sqlite`, `postgresql`, ...: what comes before `://`, without a database's driver."""
    return uri.partition("://")[0].partition("+")[0].lower() if "://" in uri else ""


def fault(uri: str) -> tuple[str, str] | None:
    """Why an address cannot be a tracking store, and the fix; None if it may be one.

    Does not connect to the address.
    """
    kind = scheme(uri)
    if kind == "sqlite":
        return _sqlite_fault(uri)
    if kind == "databricks" or uri == "databricks":
        return None
    if kind in WEB:
        return _web_fault(uri)
    if kind in DATABASES:
        return _database_fault(uri)
    return _unknown_scheme_fault(uri, kind)


def _unknown_scheme_fault(uri: str, name: str) -> tuple[str, str]:
    examples = "http://host:5000, sqlite:////folder/mlflow.db or postgresql://host/database"
    if not uri.strip():
        return (
            "the address is empty",
            f"leave `uri` out for a database in the results, or write {examples}",
        )
    if name == "postgres":
        return "the scheme postgres is not known to SQLAlchemy", "write postgresql://"
    if uri.startswith("file:") or not re.match(r"[\w.-]+:", uri):
        return (
            "a folder is not a tracking store for MLflow 3",
            (
                "write sqlite:///folder/mlflow.db (four slashes for an absolute path), "
                "or leave `uri` out"
            ),
        )
    if not name:
        return (
            "the address has no scheme",
            f"write http://{without_login(uri)}, or another of {examples}",
        )
    return f"MLflow has no store of scheme {name}", f"write an address such as {examples}"


def _web_fault(uri: str) -> tuple[str, str] | None:
    after_scheme = uri.partition("://")[2]
    host = re.split(r"[/?#]", after_scheme, maxsplit=1)[0]
    if re.search(r"\s", uri):
        return "the address has blanks in it", "remove them"
    if "@" in after_scheme[len(host) :]:
        fix = (
            "write / # ? in it as %2F %23 %3F, or give it in the variable MLFLOW_TRACKING_PASSWORD"
        )
        return "the login holds a character that ends it early", fix
    if "#" in after_scheme or "?" in after_scheme:
        return "this is the address of a page", "give the server's alone, such as http://host:5000"
    return _host_fault(uri)


def _host_fault(uri: str) -> tuple[str, str] | None:
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return "the port is not a number from 1 to 65535", "write it as in http://host:5000"
    if not parts.hostname:
        return "the address names no host", "write it as in http://host:5000"
    if port == 0:
        return "the port is not a number from 1 to 65535", "write it as in http://host:5000"
    return None


def _database_fault(uri: str) -> tuple[str, str] | None:
    authority, slash, path = uri.partition("://")[2].partition("/")
    name = path.partition("?")[0]
    if "@" in name or authority.count("@") > 1:
        fix = "write @ / # ? in it as %40 %2F %23 %3F"
        return "the login holds a character that ends it early", fix
    if not slash or not name.strip("/"):
        return (
            "the address names no database",
            "end it with one, as in postgresql://host:5432/mlflow",
        )
    host_fault = _host_fault(uri) if authority else None  # none: a local socket
    return host_fault and (
        host_fault[0],
        host_fault[1].replace("http://host:5000", "postgresql://host:5432/mlflow"),
    )


def _sqlite_fault(uri: str) -> tuple[str, str] | None:
    after_scheme = uri.partition("://")[2]
    path, _, options = after_scheme.partition("?")
    if not after_scheme.startswith("/"):
        return (
            "two slashes name a host, which SQLite does not have",
            f"write sqlite:///{path} for a relative path, or sqlite:////{path} for an absolute one",
        )
    if path in {"/", "/:memory:"}:
        return "a database in memory keeps nothing", "name a file, as in sqlite:///folder/mlflow.db"
    if path.endswith("/"):
        return "the address names a folder", f"name a file in it, as in sqlite://{path}mlflow.db"
    if "/" in options or (options and "=" not in options):
        return (
            "SQLAlchemy ends a path at its question mark",
            "name the database in a folder without one in `tracking.uri`, or rename the folder",
        )
    return None


def _passwords(uri: str) -> tuple[str, ...]:
    """Passwords of an address, percent-encoded and decoded, the longest first."""
    credentials = _LOGIN.search(uri) if scheme(uri) != "sqlite" else None
    user, colon, password = credentials["login"].partition(":") if credentials else ("", "", "")
    written = [password if colon else user]
    written += [
        match[0].partition("=")[2] for match in _SECRET.finditer(uri) if "user" not in match[1]
    ]
    # A message may hold the part before a character that ends a login early.
    parts = [part for secret in written for part in (secret, *re.split(r"[\s/@#?]", secret))]
    meant = {*parts, *map(unquote, parts)}
    return tuple(
        sorted(
            (secret for secret in meant if len(secret) >= _SHORTEST_SECRET), key=len, reverse=True
        )
    )
