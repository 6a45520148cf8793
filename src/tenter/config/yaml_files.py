"""YAML as configurations are written in: plain values, and no key twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tenter import addresses, files
from tenter.errors import InputError
from tenter.records import Fault


class _Loader(yaml.SafeLoader):
    """PyYAML's own, but for a key that is given twice: it would keep the last without a word."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:  # noqa: ANN401 - PyYAML gives a name or None
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in lines and key.value != "<<":
                message = f"`{key.value}` is given twice, in lines {lines[key.value]} and {line}"
                raise _TwiceError(message)
            lines[key.value] = line
        return node


class _TwiceError(Exception):
    pass


def read(path: Path) -> object:
    """What a YAML file holds.

    Raises:
        InputError: it cannot be read, is no YAML, or gives a key twice.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8-sig"), _Loader)  # noqa: S506 - a safe loader
    except _TwiceError as error:
        raise InputError([Fault(str(path), str(error), "merge the two, or leave one out")]) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = _reason(error)
        fault = Fault(str(path), f"cannot be read ({reason})", "give a YAML file in UTF-8")
        raise InputError([fault]) from error


def read_with(path: Path, changes: str) -> object:
    """What a YAML file holds, with some of its top-level keys given otherwise.

    Args:
        path: the file.
        changes: JSON of these keys; may be empty.

    Raises:
        InputError: as `read`.
    """
    written = read(path)
    return written | json.loads(changes) if changes and isinstance(written, dict) else written


def changes(path: Path, content: Mapping[str, object]) -> str:
    """JSON of the top-level keys that a command line gave otherwise than the file; empty if none.

    Logins in addresses read `***`, as command lines can be read by others.

    Args:
        path: the file.
        content: the whole configuration as the command line left it.
    """
    written = read(path)
    known = written if isinstance(written, dict) else {}
    changed = {key: value for key, value in content.items() if known.get(key) != value}
    return files.canonical(addresses.masked_values(changed)) if changed else ""


def _reason(error: Exception) -> str:
    """What is wrong and where; without PyYAML's excerpt of the file, which may hold a password."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())
    context, problem = (getattr(error, name, None) or "" for name in ("context", "problem"))
    place = f"line {mark.line + 1}, column {mark.column + 1}"
    return f"{f'{context} {problem}'.strip()} in {place}"
