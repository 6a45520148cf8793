"""Expansion and validation of paths: `~`, environment variables, forbidden characters."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from tenter import spelling
from tenter.errors import InvalidValueError

_VARIABLE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<plain>[A-Za-z_][A-Za-z0-9_]*)|\{(?P<braced>[^{}]*)\})"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SQLITE = "sqlite:///"

WILDCARDS = ("model", "fold", "chunk")
"""Wildcards of the workflow's own paths; a user's path must not contain them in braces."""

_SIGN = re.compile(r"\{(" + "|".join(WILDCARDS) + r")\s*[,}]")


def expanded(text: str) -> str:
    """A path with `~`, `~user`, `$NAME` and `${NAME}` expanded; `$$` is a dollar sign.

    Raises:
        InvalidValueError: the path is empty, holds a control character, or names a user or variable
            that does not exist.
    """
    if not text.strip():
        message = "is empty"
        raise InvalidValueError(message, "give a path")
    if _CONTROL.search(text):
        message = f"holds a control character: {spelling.shown(text)}"
        raise InvalidValueError(message, "rename the file")
    path = _home(text) + _VARIABLE.sub(_value, text[len(_user(text)) :])
    check_signs(path)
    return path


def written(path: Path) -> Path:
    """A path as a configuration would write it: `expanded` gives back the same."""
    plain = path.absolute() if str(path).startswith("~") else path
    return Path(str(plain).replace("$", "$$"))


def check_signs(path: str) -> None:
    """Refuse a path that contains one of the workflow's wildcards.

    Raises:
        InvalidValueError: as `expanded`.
    """
    sign = _SIGN.search(path)
    if sign:
        message = f"holds `{{{sign[1]}}}`, which the workflow replaces in paths"
        raise InvalidValueError(message, "rename that folder or file")


def _user(text: str) -> str:
    """`~` or `~user` at the beginning of a path."""
    return text.partition("/")[0] if text.startswith("~") else ""


def _home(text: str) -> str:
    user = _user(text)
    home = os.path.expanduser(user)  # noqa: PTH111 - leaves an unknown user as it is
    if user and home.startswith("~"):
        message = f"begins with `{user}`, which is not the home of a user"
        raise InvalidValueError(message, f"write `./{user}` for a name of yours")
    return home


def _value(match: re.Match[str]) -> str:
    if match["dollar"]:
        return "$"
    name = match["plain"] or match["braced"]
    value = os.environ.get(name, "")
    if not value:
        message = f"names the environment variable {name!r}, which is not set"
        raise InvalidValueError(message, "set it, or write `$$` for a dollar sign")
    return value


def _path(value: Any) -> Any:  # noqa: ANN401 - any YAML value
    return expanded(value) if isinstance(value, str) else value


def _address(value: Any) -> Any:  # noqa: ANN401 - any YAML value
    """Expand the path of a SQLite database; leave other addresses unchanged."""
    if not isinstance(value, str) or not value.startswith(_SQLITE):
        return value
    return _SQLITE + expanded(value.removeprefix(_SQLITE))


UserPath = Annotated[Path, BeforeValidator(_path)]
"""A path of the configuration."""

Address = Annotated[str, BeforeValidator(_address)]
"""MLflow's tracking address."""
