"""What a key of the configuration may hold: its type at a place, in words, and a value nearby that is one."""

from __future__ import annotations

import difflib
import functools
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from tenter import spelling

Kind = Any
"""Any annotation, as a field of a section has it."""

NOTHING = object()
"""No value."""

NAME = "letters (without accents), digits, `_` and `-`, at most 64, beginning with a letter or digit"

_DEPTH = 2
"""Levels of sections that a misplaced value is carried down."""


def of_field(info: FieldInfo) -> Kind:
    """The annotation of a field with its bounds and its discriminator, without its default."""
    discriminator = [Field(discriminator=info.discriminator)] if info.discriminator else []
    marks = (*info.metadata, *discriminator)
    return Annotated[(info.annotation, *marks)] if marks else info.annotation


def at(kind: Kind, content: object, location: Sequence[str | int]) -> Kind | None:
    """The kind of value that belongs at a place below one of kind `kind`; None where nothing does.

    Args:
        kind: of the whole `content`.
        content: decides by its `name` which of several networks or losses is meant.
        location: keys and indices.
    """
    for key in location:
        kind = _inside(kind, content, key)
        if kind is None:
            return None
        content = child(content, key)
    return kind


def child(content: object, key: str | int) -> object:
    """The value of a key or at an index; None where there is none."""
    if isinstance(content, dict):
        return content.get(key, content.get(str(key)))
    if isinstance(content, list) and isinstance(key, int) and key < len(content):
        return content[key]
    return None


def sections(kind: Kind, content: object = None) -> list[type[BaseModel]]:
    """The sections that a kind may be; of those with a `name` the one that `content` names."""
    known = [item for item in options(kind) if _is_section(item)]
    name = content.get("name") if isinstance(content, dict) else None
    named = [item for item in known if name in tags(item)]
    return named or known


def tags(section: type[BaseModel]) -> tuple[str, ...]:
    """Values of `name` that choose a section among others."""
    info = section.model_fields.get("name")
    is_tag = info is not None and _origin(info.annotation) is Literal
    return typing.get_args(info.annotation) if info is not None and is_tag else ()


def options(kind: Kind) -> Iterator[Kind]:
    """The alternatives of a union, without None; others are their own single one."""
    origin = _origin(kind)
    if origin is Annotated:
        inner, *marks = typing.get_args(kind)
        for item in options(inner):
            yield item if _is_section(item) else Annotated[item, *marks]
    elif origin in {typing.Union, types.UnionType}:
        for item in typing.get_args(kind):
            yield from options(item)
    elif kind is not type(None):
        yield kind


def words(kind: Kind) -> str:
    """What to write for a kind, such as `a whole number from 2 to 100`."""
    named = [name for item in options(kind) if _is_section(item) for name in tags(item)]
    if named:
        return f"`{{name: ...}}` with one of {', '.join(named)}"
    return ", or ".join(dict.fromkeys(_words(item) for item in options(kind)))


def nearby(kind: Kind, value: object, text: str = "", depth: int = 0) -> object:
    """A value of this kind that someone who wrote another one may have meant, or NOTHING.

    Args:
        kind: what is wanted.
        value: what YAML made of what was written.
        text: what was written.
        depth: levels of sections gone down.
    """
    if fits(kind, value):
        return value
    for option in options(kind):
        found = _turned(option, value, text, depth)
        if found is not NOTHING and fits(kind, found):
            return found
    return NOTHING


def fits(kind: Kind, value: object) -> bool:
    """Whether a value is of a kind, and no truth value taken for a number."""
    if isinstance(value, bool) and not any(_bare(item) is bool for item in options(kind)):
        return False
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


def _inside(kind: Kind, content: object, key: str | int) -> Kind | None:
    for section in sections(kind, content):
        if key in section.model_fields:
            return of_field(section.model_fields[str(key)])
    for option in options(kind):
        bare = _bare(option)
        arguments = typing.get_args(bare)
        if _origin(bare) is dict:
            return arguments[1]
        if _origin(bare) is tuple and isinstance(key, int):
            return arguments[0]
    return None


def _is_section(kind: Kind) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _origin(kind: Kind) -> object:
    return typing.get_origin(kind)


def _bare(kind: Kind) -> Kind:
    """A kind without its bounds."""
    return _bare(typing.get_args(kind)[0]) if _origin(kind) is Annotated else kind


def _marks(kind: Kind) -> Iterator[object]:
    """What bounds a kind."""
    if _origin(kind) is Annotated:
        inner, *marks = typing.get_args(kind)
        yield from _marks(inner)
        for mark in marks:
            # `Field(ge=1)` in an annotation of its own, as of the items of a list
            yield from mark.metadata if isinstance(mark, FieldInfo) else [mark]


def _words(kind: Kind) -> str:
    bare = _bare(kind)
    origin, arguments = _origin(bare), typing.get_args(bare)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin is tuple:
        inner = words(arguments[0])
        return (
            f"a list of items, each {inner}"
            if arguments[-1] is Ellipsis
            else f"{len(arguments)} values, each {inner}"
        )
    if origin is dict:
        return "names, each with its keys below it"
    if _is_section(bare):
        return f"its keys below it: {', '.join(bare.model_fields)}"
    if bare is str and any(getattr(mark, "pattern", None) for mark in _marks(kind)):
        return NAME
    plain = {str: "text", Path: "a path", bool: "true or false", int: "a whole number", float: "a number"}
    return f"{plain.get(bare, 'another value')}{_range(kind)}"


def _range(kind: Kind) -> str:
    bounds = {
        name: getattr(mark, name)
        for mark in _marks(kind)
        for name in ("ge", "gt", "le", "lt")
        if getattr(mark, name, None) is not None
    }
    if {"ge", "le"} <= bounds.keys():
        return f" from {bounds['ge']} to {bounds['le']}"
    signs = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}
    said = [f"{sign} {bounds[name]}" for name, sign in signs.items() if name in bounds]
    return f" {' and '.join(said)}" if said else ""


def _turned(kind: Kind, value: object, text: str, depth: int) -> object:
    """A value turned into what one alternative may hold."""
    bare = _bare(kind)
    origin, arguments = _origin(bare), typing.get_args(bare)
    written = text or (value if isinstance(value, str) else "")
    if origin is Literal:
        return _near(written, [str(item) for item in arguments])
    if origin is tuple:
        return _listed(arguments, value, written, depth)
    if origin is dict:
        return _keyed(value)
    if _is_section(bare):
        return _filled(bare, value, text, depth)
    return _number(value) if bare in {int, float} else _text(bare, value, text)


def _text(bare: Kind, value: object, text: str) -> object:
    """A name in plain letters, or what was written where YAML took it for something else than text."""
    if bare not in {str, Path} or isinstance(value, dict | list | None):
        return NOTHING
    if isinstance(value, str):
        return spelling.plain(value)
    return text or (NOTHING if isinstance(value, bool) else str(value))


def _keyed(value: object) -> object:
    """Names, each with an empty section."""
    names = value if isinstance(value, list) else [value]
    named = bool(names) and all(isinstance(name, str) for name in names)
    return {str(name): {} for name in names} if named else NOTHING


def _near(text: str, names: Sequence[str]) -> object:
    lower = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(text.casefold(), lower, n=1, cutoff=0.6)
    return lower[near[0]] if text and near else NOTHING


def _number(value: object) -> object:
    """The number in `8,0`, `8 mm` or `[8]`."""
    if isinstance(value, list) and len(value) == 1:
        return value[0]
    match = (
        re.fullmatch(r"\s*([-+]?\d+)(?:[.,](\d+))?\s*(?:mm|deg|°|%|s)?\s*", value)
        if isinstance(value, str)
        else None
    )
    if match is None:
        return NOTHING
    return float(f"{match[1]}.{match[2]}") if match[2] else int(match[1])


def _listed(kinds: Sequence[Kind], value: object, text: str, depth: int) -> object:
    """A list of what stands alone, or is written as one text."""
    if isinstance(value, dict) and "name" not in value:
        return _itemised(kinds[0], value)
    if value is None:
        return NOTHING
    length = None if kinds[-1] is Ellipsis else len(kinds)
    split = re.split(r"\s*[,;x\u00d7\s]\s*", value.strip()) if isinstance(value, str) and length else None
    if split and len(split) > 1:
        split = [part if _number(part) is NOTHING else _number(part) for part in split]
    items = value if isinstance(value, list) else split or [value]
    if length and len(items) == 1:
        items = items * length
    made = [nearby(kinds[0], item, "" if isinstance(value, list) else text, depth) for item in items]
    return NOTHING if any(item is NOTHING for item in made) else made


def _itemised(kind: Kind, value: Mapping[str, object]) -> object:
    """A list of named items that are written as a mapping of names, such as `{gland: 1}`."""
    needed = [
        name for item in sections(kind) for name, info in item.model_fields.items() if info.is_required()
    ]
    if needed[:1] != ["name"] or len(needed) != 2:
        return NOTHING
    return [{"name": name, needed[1]: inner} for name, inner in value.items()]


def _filled(section: type[BaseModel], value: object, text: str, depth: int) -> object:
    """A section with the one key that a value can belong to."""
    if isinstance(value, str) and tags(section):
        near = _near(value, tags(section))
        return NOTHING if near is NOTHING else {"name": near}
    if value is None or isinstance(value, dict | bool) or depth >= _DEPTH:
        return NOTHING
    fields = {name: of_field(info) for name, info in section.model_fields.items() if name != "name"}
    for wanted in (_exact, functools.partial(nearby, text=text, depth=depth + 1)):
        for name, kind in fields.items():
            found = NOTHING if _is_free(kind) else wanted(kind, value)
            if found is not NOTHING:
                return {name: found}
    free = [name for name, kind in fields.items() if _is_free(kind) and fits(kind, value)]
    return {free[0]: value} if free else NOTHING


def _exact(kind: Kind, value: object) -> object:
    return value if fits(kind, value) else NOTHING


def _is_free(kind: Kind) -> bool:
    """Whether any text fits."""
    return any(_bare(item) in {str, Path} for item in options(kind))


def example(section: type[BaseModel]) -> str:
    """One line of a section, as it may be written below the section's key."""
    for name, info in section.model_fields.items():
        if isinstance(info.default, int | float | str) and not isinstance(info.default, Mapping):
            default = str(info.default).lower() if isinstance(info.default, bool) else info.default
            return f"{name}: {default}"
    name = next(iter(section.model_fields))
    return f"{name}: ..."
