"""What is wrong with a configuration, in words of its keys: one fault a wrong key, with what to write."""

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
from tenter.errors import InputError
from tenter.records import Fault

Place = tuple[Key, ...]
"""Keys and indices that lead to a value."""

Item = Mapping[str, Any]
"""One of pydantic's errors."""

PAGE = "config/README.md"


def of_validation(
    section: type[BaseModel], content: dict[str, Any], path: Path, error: ValidationError
) -> list[Fault]:
    """Every wrong key once, with its line where the file holds it.

    Args:
        section: what `content` should have been.
        content: of the file, with what the command line overrides.
        path: the file.
        error: what pydantic says of it, a line for each alternative that does not fit.
    """
    places: dict[Place, list[Item]] = {}
    for item in error.errors(include_url=False):
        places.setdefault(_place(content, item), []).append(item)
    for place in _misspelt(section, content, places):
        places.pop(place, None)
    faults = [_fault(section, content, path, place, items) for place, items in places.items()]
    return sorted(faults, key=lambda fault: fault.row or 0)


def _misspelt(
    section: type[BaseModel], content: dict[str, Any], places: Mapping[Place, Sequence[Item]]
) -> list[Place]:
    """Keys that are missing only because they are misspelt: the unknown key is told instead."""
    unknown = [place for place, items in places.items() if items[0]["type"] == "extra_forbidden"]
    meant = {(*place[:-1], _near_key(section, content, place)) for place in unknown}
    return [place for place, items in places.items() if items[0]["type"] == "missing" and place in meant]


def _place(content: object, item: Item) -> Place:
    """Where in the content an error is, without pydantic's names of alternatives; a list for its items."""
    keys: list[Key] = []
    indices = 0
    for part in item["loc"]:
        if (isinstance(content, dict) and part in content) or (
            isinstance(content, list) and isinstance(part, int) and part < len(content)
        ):
            keys.append(part)
            content, indices = kinds.child(content, part), (indices + 1 if isinstance(content, list) else 0)
    if item["type"] == "missing" and isinstance(item["loc"][-1], str):
        return (*keys, item["loc"][-1])
    return tuple(keys[: len(keys) - indices])


def _fault(
    section: type[BaseModel], content: dict[str, Any], path: Path, place: Place, items: Sequence[Item]
) -> Fault:
    row, text = _written(content, path, place)
    message, fix = _complaint(section, content, place, items, text)
    return Fault(str(path), message, fix, row, ".".join(map(str, place)) or None)


def _value(content: object, place: Sequence[Key]) -> object:
    return functools.reduce(kinds.child, place, content)


def _written(content: object, path: Path, place: Place) -> tuple[int | None, str]:
    """Line and text of a value in the file; none where the value is not the file's."""
    if not place or not path.is_file():
        return None, ""
    try:
        stated = yaml_files.read(path)
    except InputError:
        return None, ""
    for key in place:
        stated, content = kinds.child(stated, key), kinds.child(content, key)
    found = yaml_files.scalar(path, place) if stated == content else None
    return found or (None, "")


def _complaint(
    section: type[BaseModel], content: dict[str, Any], place: Place, items: Sequence[Item], text: str
) -> tuple[str, str]:
    """What is wrong at a place, and what to write there."""
    first = items[0]
    for item in items:
        if item["type"] == "value_error":
            message, _, fix = str(item["ctx"]["error"]).partition("; ")
            return message, fix or f"see {PAGE} for what may be written"
    if first["type"] in {"extra_forbidden", "invalid_key"}:
        return "unknown key", _known(section, content, place)
    if "[key]" in first["loc"]:
        return _name_complaint(str(place[-1]))
    kind = kinds.at(section, content, place)
    if first["type"] == "missing":
        return "is missing", f"add `{place[-1]}`: {kinds.words(kind)}"
    value = _value(content, place)
    if first["type"] in {"union_tag_not_found", "union_tag_invalid"} and isinstance(value, dict | list):
        return _tag_complaint(kind, place, value)
    return f"is {_said(value, text)}", _fix(kind, place, value, text)


def _name_complaint(name: str) -> tuple[str, str]:
    near = spelling.plain(name)
    written = f'"{near}":' if near.isdecimal() else f"{near}:"
    hint = f"write `{written}`, or use" if near else "use"
    return f"is not a name: {spelling.shown(name)}", f"{hint} {kinds.NAME}"


def _said(value: object, text: str) -> str:
    if value is None or value == "":
        return "empty"
    if isinstance(value, dict):
        return "a section with keys below it"
    if isinstance(value, str):
        return spelling.shown(addresses.masked(value))
    if isinstance(value, bool) and text:
        word = str(value).lower()
        return word if text == word else f"`{text}`, which YAML reads as {word}"
    if isinstance(value, list):
        return _flow(value)[:60]
    return f"{text or value!s:.60}"


def _fix(kind: kinds.Kind, place: Place, value: object, text: str) -> str:
    near = kinds.NOTHING if value is None else kinds.nearby(kind, value, text)
    if near is not kinds.NOTHING and near != value:
        return f"write `{place[-1]}: {_flow(near)}`"
    known = kinds.sections(kind)
    if known and kinds.tags(known[0]):
        names = [name for item in known for name in kinds.tags(item)]
        return f"write `{place[-1]}: {{name: ...}}`, with one of {', '.join(names)}"
    if known:
        keys = ", ".join(known[0].model_fields)
        sample = f"`{place[-1]}: {{{kinds.example(known[0])}}}`"
        return f"write its keys below it, such as {sample}; they are {keys}"
    return f"use {kinds.words(kind)}"


def _flow(value: object) -> str:
    """A value as one line of YAML."""
    line = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
    return addresses.masked(line.removesuffix("\n").removesuffix("\n..."))


def _tag_complaint(kind: kinds.Kind, place: Place, value: object) -> tuple[str, str]:
    """Of a network or loss, or of a list of them, whose `name` says nothing."""
    many = isinstance(value, list)
    item = next(kinds.options(kind)) if many else kind
    inner = kinds.at(kind, value, (0,)) if many else item
    names = [name for section in kinds.sections(inner) for name in kinds.tags(section)]
    listed = value if isinstance(value, list) else [value]
    for part in listed:
        name = part.get("name") if isinstance(part, dict) else part
        if name in names:
            continue
        if name is None:
            return "has no `name`", f"add `name:` with one of {', '.join(names)}"
        near = difflib.get_close_matches(str(name), names, n=1)
        form = f"{{name: {near[0]}}}" if near else ""
        hint = f"write `{place[-1]}: {f'[{form}]' if many else form}`" if near else "use one of"
        return (
            f"is {str(name)!r}",
            f"{hint}; there are {', '.join(names)}" if near else f"{hint} {', '.join(names)}",
        )
    near_list = kinds.nearby(kind, value)
    fix = (
        f"write `{place[-1]}: {_flow(near_list)}`"
        if near_list is not kinds.NOTHING
        else f"use {kinds.words(kind)}"
    )
    return f"is {_flow(value)}", fix


def _known(section: type[BaseModel], content: dict[str, Any], place: Place) -> str:
    """What to do about a key that is not one: its right spelling, or the section that it belongs to."""
    *above, key = place
    near = _near_key(section, content, place)
    if near:
        return f"did you mean {near!r}?"
    parent = _value(content, above)
    owners = kinds.sections(kinds.at(section, content, above), parent)
    names = sorted({name for owner in owners for name in owner.model_fields})
    if not isinstance(key, str) and kinds.child(parent, key) is None:
        return "a comma separates keys here: write a number with a point, such as `8.0`"
    if owners and kinds.tags(owners[0]):
        return f"remove it; `{kinds.child(parent, 'name')}` has the keys {', '.join(names)}"
    homes = [home for home, name in _all_keys(section) if name == key]
    if homes:
        return f"it belongs to {' or '.join(f'`{home}`' if home else 'the top level' for home in homes[:3])}"
    return f"remove it, or use one of {', '.join(names)}"


def _near_key(section: type[BaseModel], content: dict[str, Any], place: Place) -> str:
    """The key of the same section that an unknown one resembles; '' where none does."""
    *above, key = place
    parent = _value(content, above)
    owners = kinds.sections(kinds.at(section, content, above), parent)
    names = sorted(
        {name for owner in owners for name in owner.model_fields}
        - set(parent if isinstance(parent, dict) else ())
    )
    return next(iter(difflib.get_close_matches(str(key), names, n=1)), "")


def _all_keys(section: type[BaseModel], home: str = "") -> Iterator[tuple[str, str]]:
    """Every key with the section that it belongs to, as `models.<name>.training`; each once."""
    seen: dict[tuple[str, str], None] = {}
    for name, info in section.model_fields.items():
        seen[home, name] = None
        for inner, suffix in _inner(kinds.of_field(info)):
            seen.update(dict.fromkeys(_all_keys(inner, f"{home}.{name}{suffix}".lstrip("."))))
    yield from seen


def _inner(kind: kinds.Kind) -> Iterator[tuple[type[BaseModel], str]]:
    """Sections that a kind holds, with what stands for their name or index."""
    for item in kinds.sections(kind):
        yield item, ""
    for key, suffix in (("", ".<name>"), (0, "")):
        inner = kinds.at(kind, None, (key,)) if not kinds.sections(kind) else None
        if inner is not None:
            yield from ((item, suffix) for item in kinds.sections(inner))
            return
