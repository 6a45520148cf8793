"""Validation errors of a configuration as faults: one for each wrong key, with the fix."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from tenter import addresses, spelling
from tenter.config import kinds, yaml_files
from tenter.config.yaml_files import Key
from tenter.errors import InputError, InvalidValueError
from tenter.records import Fault

Location = tuple[Key, ...]
"""Keys and indices that lead to a value."""

Detail = Mapping[str, Any]
"""One entry of `ValidationError.errors()`."""

PAGE = "config/README.md"


def of_validation(
    section: type[BaseModel], content: dict[str, Any], path: Path, error: ValidationError
) -> list[Fault]:
    """The faults of a configuration: each wrong key once, with its line if it is in the file.

    Args:
        section: the model that `content` failed to validate against.
        content: content of the file, with overrides from the command line.
        path: the file.
        error: pydantic's error, with one entry for each alternative of a union that does not fit.
    """
    details_at: dict[Location, list[Detail]] = {}
    for detail in error.errors(include_url=False):
        details_at.setdefault(_location(content, detail), []).append(detail)
    for location in _misspelt(section, content, details_at):
        details_at.pop(location, None)
    faults = [
        _fault(section, content, path, location, details)
        for location, details in details_at.items()
    ]
    return sorted(faults, key=lambda fault: fault.row or 0)


def _misspelt(
    section: type[BaseModel],
    content: dict[str, Any],
    details_at: Mapping[Location, Sequence[Detail]],
) -> list[Location]:
    """Keys that are missing only because they are misspelt: the unknown key is reported instead."""
    unknown = [
        location
        for location, details in details_at.items()
        if details[0]["type"] == "extra_forbidden"
    ]
    intended = {(*location[:-1], _near_key(section, content, location)) for location in unknown}
    return [
        location
        for location, details in details_at.items()
        if details[0]["type"] == "missing" and location in intended
    ]


def _location(content: object, detail: Detail) -> Location:
    """Location of an error in the content, without pydantic's names of union members.

    Errors in the items of a list are located at the list.
    """
    keys: list[Key] = []
    indices = 0
    for part in detail["loc"]:
        if (isinstance(content, dict) and part in content) or (
            isinstance(content, list) and isinstance(part, int) and part < len(content)
        ):
            keys.append(part)
            content, indices = (
                kinds.child(content, part),
                (indices + 1 if isinstance(content, list) else 0),
            )
    if detail["type"] == "missing" and isinstance(detail["loc"][-1], str):
        return (*keys, detail["loc"][-1])
    return tuple(keys[: len(keys) - indices])


def _fault(
    section: type[BaseModel],
    content: dict[str, Any],
    path: Path,
    location: Location,
    details: Sequence[Detail],
) -> Fault:
    row, text = _line_and_text(content, path, location)
    message, fix = _complaint(section, content, location, details, text)
    return Fault(str(path), message, fix, row, ".".join(map(str, location)) or None)


def _value(content: object, location: Sequence[Key]) -> object:
    return functools.reduce(kinds.child, location, content)


def _line_and_text(content: object, path: Path, location: Location) -> tuple[int | None, str]:
    """Line and text of a value in the file; (None, '') where the value comes from elsewhere."""
    if not location or not path.is_file():
        return None, ""
    try:
        content_of_file = yaml_files.read(path)
    except InputError:
        return None, ""
    for key in location:
        content_of_file, content = kinds.child(content_of_file, key), kinds.child(content, key)
    line_and_text = yaml_files.scalar(path, location) if content_of_file == content else None
    return line_and_text or (None, "")


def _complaint(
    section: type[BaseModel],
    content: dict[str, Any],
    location: Location,
    details: Sequence[Detail],
    text: str,
) -> tuple[str, str]:
    """What is wrong at a location, and what to write there."""
    first = details[0]
    for detail in details:
        if detail["type"] == "value_error":
            error = detail["ctx"]["error"]
            if not isinstance(error, InvalidValueError):  # of a value's own type, or a plugin's
                error = InvalidValueError(str(error), f"see {PAGE} for what may be written")
            return error.message, error.fix
    if first["type"] in {"extra_forbidden", "invalid_key"}:
        return "unknown key", _key_fix(section, content, location)
    if "[key]" in first["loc"]:
        return _name_complaint(str(location[-1]))
    kind = kinds.at(section, content, location)
    if first["type"] == "missing":
        return "is missing", f"add `{location[-1]}`: {kinds.words(kind)}"
    value = _value(content, location)
    if first["type"] in {"union_tag_not_found", "union_tag_invalid"} and isinstance(
        value, dict | list
    ):
        return _tag_complaint(kind, location, value)
    return f"is {_described(value, text)}", _fix(kind, location, value, text)


def _name_complaint(name: str) -> tuple[str, str]:
    near = spelling.plain(name)
    written = f'"{near}":' if near.isdecimal() else f"{near}:"
    hint = f"write `{written}`, or use" if near else "use"
    return f"is not a name: {spelling.shown(name)}", f"{hint} {kinds.NAME}"


def _described(value: object, text: str) -> str:
    if value is None or value == "":
        return "empty"
    if isinstance(value, dict):
        return "a section with keys below it"
    if isinstance(value, str):
        return spelling.shown(addresses.masked(value))
    if isinstance(value, bool) and text:
        literal = str(value).lower()
        return literal if text == literal else f"`{text}`, which YAML reads as {literal}"
    if isinstance(value, list):
        return _flow(value)[:60]
    return f"{text or value!s:.60}"


def _fix(kind: kinds.Kind, location: Location, value: object, text: str) -> str:
    near = kinds.NOTHING if value is None else kinds.nearby(kind, value, text)
    if near is not kinds.NOTHING and near != value:
        return f"write `{location[-1]}: {_flow(near)}`"
    known = kinds.sections(kind)
    if known and kinds.tags(known[0]):
        names = [name for alternative in known for name in kinds.tags(alternative)]
        key = kinds.tag(known[0])
        return f"write `{location[-1]}: {{{key}: ...}}`, with one of {', '.join(names)}"
    if known:
        keys = ", ".join(known[0].model_fields)
        sample = f"`{location[-1]}: {{{kinds.example(known[0])}}}`"
        return f"write its keys below it, such as {sample}; they are {keys}"
    return f"use {kinds.words(kind)}"


def _flow(value: object) -> str:
    """A value as one line of YAML."""
    line = yaml.safe_dump(
        value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False
    )
    return addresses.masked(line.removesuffix("\n").removesuffix("\n..."))


def _tag_complaint(kind: kinds.Kind, location: Location, value: object) -> tuple[str, str]:
    """Message and fix for a missing or unknown `name` or `method`, of a section or in a list."""
    many = isinstance(value, list)
    element_kind = next(kinds.options(kind)) if many else kind
    inner = kinds.at(kind, value, (0,)) if many else element_kind
    names = [name for section in kinds.sections(inner) for name in kinds.tags(section)]
    key = kinds.tag(kinds.sections(inner)[0])
    elements = value if isinstance(value, list) else [value]
    for element in elements:
        name = element.get(key) if isinstance(element, dict) else element
        if name in names:
            continue
        if name is None:
            return f"has no `{key}`", f"add `{key}:` with one of {', '.join(names)}"
        near = difflib.get_close_matches(str(name), names, n=1)
        form = f"{{{key}: {near[0]}}}" if near else ""
        hint = f"write `{location[-1]}: {f'[{form}]' if many else form}`" if near else "use one of"
        return (
            f"is {str(name)!r}",
            f"{hint}; there are {', '.join(names)}" if near else f"{hint} {', '.join(names)}",
        )
    near_list = kinds.nearby(kind, value)
    fix = (
        f"write `{location[-1]}: {_flow(near_list)}`"
        if near_list is not kinds.NOTHING
        else f"use {kinds.words(kind)}"
    )
    return f"is {_flow(value)}", fix


def _key_fix(section: type[BaseModel], content: dict[str, Any], location: Location) -> str:
    """Fix for an unknown key: its correct spelling, or the section that it belongs to."""
    *above, key = location
    near = _near_key(section, content, location)
    if near:
        return f"did you mean {near!r}?"
    parent = _value(content, above)
    owners = kinds.sections(kinds.at(section, content, above), parent)
    names = sorted({name for owner in owners for name in owner.model_fields})
    if not isinstance(key, str) and kinds.child(parent, key) is None:
        return "a comma separates keys here: write a number with a point, such as `8.0`"
    if owners and kinds.tags(owners[0]):
        chosen = kinds.child(parent, kinds.tag(owners[0]))
        return f"remove it; `{chosen}` has the keys {', '.join(names)}"
    homes = [home for home, name in _all_keys(section) if name == key]
    if homes:
        names = [f"`{home}`" if home else "the top level" for home in homes[:3]]
        return f"it belongs to {' or '.join(names)}"
    return f"remove it, or use one of {', '.join(names)}"


def _near_key(section: type[BaseModel], content: dict[str, Any], location: Location) -> str:
    """The key of the same section that an unknown key resembles; '' if there is none."""
    *above, key = location
    parent = _value(content, above)
    owners = kinds.sections(kinds.at(section, content, above), parent)
    names = sorted(
        {name for owner in owners for name in owner.model_fields}
        - set(parent if isinstance(parent, dict) else ())
    )
    return next(iter(difflib.get_close_matches(str(key), names, n=1)), "")


def _all_keys(section: type[BaseModel], home: str = "") -> Iterator[tuple[str, str]]:
    """Every key with its section, such as `models.<name>.training`; each combination once."""
    seen: dict[tuple[str, str], None] = {}
    for name, info in section.model_fields.items():
        seen[home, name] = None
        for inner, suffix in _inner(kinds.of_field(info)):
            seen.update(dict.fromkeys(_all_keys(inner, f"{home}.{name}{suffix}".lstrip("."))))
    yield from seen


def _inner(kind: kinds.Kind) -> Iterator[tuple[type[BaseModel], str]]:
    """Sections below a kind, each with the placeholder for its name or index."""
    for member in kinds.sections(kind):
        yield member, ""
    for key, suffix in (("", ".<name>"), (0, "")):
        inner = kinds.at(kind, None, (key,)) if not kinds.sections(kind) else None
        if inner is not None:
            yield from ((member, suffix) for member in kinds.sections(inner))
            return
