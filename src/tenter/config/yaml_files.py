"""Strict reading of YAML: plain values, no duplicate keys, no numbers other than written."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tenter import addresses, files, spelling
from tenter.errors import InputError
from tenter.records import Fault

Key = str | int
"""A key of a mapping, or an index of a list."""

_OCTAL = re.compile(r"[-+]?0[0-9_]+")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which would silently keep the last duplicate key and read 010 as 8."""

    def compose_mapping_node(
        self,
        anchor: Any,  # noqa: ANN401 - PyYAML gives a name or None
    ) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in lines and key.value != "<<":
                message = f"`{key.value}` is given twice, in lines {lines[key.value]} and {line}"
                raise _ContentError(message, "merge the two, or leave one out", line)
            lines[key.value] = line
        return node

    def construct_number(self, node: yaml.ScalarNode) -> object:
        """A number, unless YAML 1.1 reads another number than a person would."""
        text = str(node.value)
        is_integer = node.tag.endswith(":int")
        value = self.construct_yaml_int(node) if is_integer else self.construct_yaml_float(node)
        if (is_integer and _OCTAL.fullmatch(text)) or _SEXAGESIMAL.fullmatch(text):
            message = f"YAML reads `{text}` as the number {value}"
            fix = f'write "{text}" in quotes if it is text, else the number itself'
            raise _ContentError(message, fix, node.start_mark.line + 1)
        return value


for _tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
    _Loader.add_constructor(_tag, _Loader.construct_number)


class _ContentError(Exception):
    def __init__(self, message: str, fix: str, line: int) -> None:
        super().__init__(message)
        self.fix, self.line = fix, line


def read(path: Path) -> object:
    """The content of a YAML file.

    Raises:
        InputError: it cannot be read, is not YAML, or gives a key twice.
    """
    try:
        return yaml.load(_text(path), _Loader)  # noqa: S506 - a safe loader
    except _ContentError as error:
        raise InputError([Fault(str(path), str(error), error.fix, error.line)]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError([_syntax_fault(path, error)]) from error


def read_with(path: Path, changes: str) -> object:
    """The content of a YAML file, with some of its top-level keys overridden.

    Args:
        path: the file.
        changes: JSON of these keys; may be empty.

    Raises:
        InputError: as `read`.
    """
    written = read(path)
    return written | json.loads(changes) if changes and isinstance(written, dict) else written


def changes(path: Path, content: Mapping[str, object]) -> str:
    """JSON of the top-level keys that the command line overrides; empty if none.

    Logins in addresses are masked as `***`, since others can read command lines.

    Args:
        path: the file.
        content: the whole configuration, overrides included.
    """
    written = read(path)
    known = written if isinstance(written, dict) else {}
    changed = {key: value for key, value in content.items() if known.get(key) != value}
    return files.canonical(addresses.masked_values(changed)) if changed else ""


def scalar(path: Path, location: Sequence[Key]) -> tuple[int, str] | None:
    """Line of a key and its value as written; None where the file does not have the key.

    Args:
        path: a YAML file that `read` accepts.
        location: keys and list indices that lead to the value; the last may be absent.

    Returns:
        1-based line of the last key that exists, and the text of its value ('' unless it is a
        scalar).
    """
    try:
        node = yaml.compose(_text(path), _Loader)
    except (InputError, _ContentError, yaml.YAMLError, ValueError, RecursionError):
        return None
    line = None
    for key in location:
        match = next((child for child in _children(node) if str(child[0]) == str(key)), None)
        if match is None:
            return None if line is None else (line, "")
        _, line, node = match
    if line is None:
        return None
    return line, str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def _children(node: yaml.Node | None) -> Iterator[tuple[Key, int, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from ((str(key.value), key.start_mark.line + 1, value) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        yield from (
            (index, element.start_mark.line + 1, element)
            for index, element in enumerate(node.value)
        )


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        near = spelling.nearby(path.absolute())
        message = "does not exist" + (f"; {near}" if near else "")
        fix = f"correct the path of the configuration (looked for {path.absolute()})"
        raise InputError([Fault(str(path), message, fix)]) from error
    except IsADirectoryError as error:
        raise InputError([Fault(str(path), "is a folder", "name the YAML file in it")]) from error
    except OSError as error:
        fix = "check its permissions and the disk"
        raise InputError([Fault(str(path), f"cannot be read ({error.strerror})", fix)]) from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8 text (byte 0x{raw[error.start]:02x})"
        raise InputError([Fault(str(path), message, "save it as UTF-8 text", row)]) from error


def _syntax_fault(path: Path, error: Exception) -> Fault:
    mark = getattr(error, "problem_mark", None)
    reason = " ".join(str(getattr(error, "problem", None) or error).split())
    row = mark.line + 1 if mark is not None else None
    return Fault(str(path), f"is not YAML: {reason}", _remedy(reason), row)


_REMEDIES = {
    "'\\t' that cannot start any token": "indent with spaces, not with tabs",
    "mapping values are not allowed": (
        "put a value that holds `: ` in quotes, or correct the indentation"
    ),
    "unknown escape character": "put a value with backslashes in single quotes",
    "could not determine a constructor": (
        "remove the tag that begins with `!`, or put the value in quotes"
    ),
    "cannot start any token": "put the value in quotes",
    "found undefined alias": "put a value that begins with `*` in quotes",
    "special characters are not allowed": (
        "remove control characters, or save the file as UTF-8 text"
    ),
    "could not find expected ':'": "write `key: value`, and check the indentation",
    "'<stream end>'": "close the bracket or quote that is open",
    "must be in": "put the value in quotes, or correct the date",
    "out of range": "put the value in quotes, or correct the date",
    "recursion": "nest the values less deeply",
    "unexpected end of stream": "close the quote that is open",
}
"""Fragments of PyYAML's messages, each with the fix."""


def _remedy(reason: str) -> str:
    fixes = (fix for phrase, fix in _REMEDIES.items() if phrase in reason)
    return next(fixes, "correct brackets, quotes and indentation there")


def beside(config: Path, path: Path) -> Path:
    """A path of a configuration, which is relative to the configuration's folder."""
    joined = config.parent / path
    plain = Path(os.path.normpath(joined))
    return plain if plain.resolve() == joined.resolve() else joined
