"""YAML as configurations are written in: plain values, and no key twice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

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
        reason = " ".join(str(error).split())
        fault = Fault(str(path), f"cannot be read ({reason})", "give a YAML file in UTF-8")
        raise InputError([fault]) from error


def beside(config: Path, path: Path) -> Path:
    """A path of a configuration, which is relative to the configuration's folder."""
    joined = config.parent / path
    plain = Path(os.path.normpath(joined))
    return plain if plain.resolve() == joined.resolve() else joined
