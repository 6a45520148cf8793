"""Types of configuration keys: lookup by location, description, and suggested corrections."""

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
"""A type annotation of a section's field."""

NOTHING = object()
"""No value."""

NAME = (
    "letters (without accents), digits, `_` and `-`, at most 64, beginning with a letter or digit"
)

TAGS = ("name", "method")
"""Keys whose value selects one of several sections: networks and losses, baselines."""

_DEPTH = 2
"""Nested sections in which a suggestion looks for a key that fits a misplaced value."""


def of_field(info: FieldInfo) -> Kind:
    """The annotation of a field with its bounds and discriminator, without its default."""
    discriminator = [Field(discriminator=info.discriminator)] if info.discriminator else []
    marks = (*info.metadata, *discriminator)
    return Annotated[(info.annotation, *marks)] if marks else info.annotation


def at(kind: Kind, content: object, location: Sequence[str | int]) -> Kind | None:
    """The kind of value expected at a location below a value of kind `kind`; None for unknown keys.

    Args:
        kind: the kind of the whole `content`.
        content: the value; its `name` selects one of several networks or losses.
        location: keys and list indices.
    """
    for key in location:
        kind = _kind_of_key(kind, content, key)
        if kind is None:
            return None
        content = child(content, key)
    return kind


def child(content: object, key: str | int) -> object:
    """The value at a key or index; None if there is none."""
    if isinstance(content, dict):
        return content.get(key, content.get(str(key)))
    if isinstance(content, list) and isinstance(key, int) and key < len(content):
        return content[key]
    return None


def sections(kind: Kind, content: object = None) -> list[type[BaseModel]]:
    """The sections that a kind admits; of named ones only the one that `content` names, if any."""
    known = [option for option in options(kind) if _is_section(option)]
    values = content if isinstance(content, dict) else {}
    named = [option for option in known if values.get(tag(option)) in tags(option)]
    return named or known


def tag(section: type[BaseModel]) -> str:
    """The key whose value selects this section in a union: `name`, or `method` of a baseline.

    Args:
        section: a section of the configuration.
    """
    fields = section.model_fields
    literal = (key for key in TAGS if key in fields and _origin(fields[key].annotation) is Literal)
    return next(literal, next((key for key in TAGS if key in fields), TAGS[0]))


def tags(section: type[BaseModel]) -> tuple[str, ...]:
    """Values of its `tag` that select this section in a union."""
    info = section.model_fields.get(tag(section))
    is_tag = info is not None and _origin(info.annotation) is Literal
    return typing.get_args(info.annotation) if info is not None and is_tag else ()


def options(kind: Kind) -> Iterator[Kind]:
    """The members of a union, without None; any other kind yields itself."""
    origin = _origin(kind)
    if origin is Annotated:
        inner, *marks = typing.get_args(kind)
        for option in options(inner):
            yield option if _is_section(option) else Annotated[option, *marks]
    elif origin in {typing.Union, types.UnionType}:
        for option in typing.get_args(kind):
            yield from options(option)
    elif kind is not type(None):
        yield kind


def words(kind: Kind) -> str:
    """Describe the values of a kind, such as `a whole number from 2 to 100`."""
    tagged = [option for option in sections(kind) if tags(option)]
    if tagged:
        named = [name for option in tagged for name in tags(option)]
        return f"`{{{tag(tagged[0])}: ...}}` with one of {', '.join(named)}"
    return ", or ".join(dict.fromkeys(_words(option) for option in options(kind)))


def nearby(kind: Kind, value: object, text: str = "", depth: int = 0) -> object:
    """A valid value that the author of an invalid one may have meant, or NOTHING.

    Args:
        kind: the expected kind.
        value: the value as YAML parsed it.
        text: the value as it is written in the file.
        depth: number of nested sections entered so far.
    """
    if fits(kind, value):
        return value
    for option in options(kind):
        candidate = _converted(option, value, text, depth)
        if candidate is not NOTHING and fits(kind, candidate):
            return candidate
    return NOTHING


def fits(kind: Kind, value: object) -> bool:
    """Whether a value is valid for a kind; a boolean is not a number."""
    if isinstance(value, bool) and not any(_bare(option) is bool for option in options(kind)):
        return False
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


def _kind_of_key(kind: Kind, content: object, key: str | int) -> Kind | None:
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
    """The metadata of an annotation, such as bounds."""
    if _origin(kind) is Annotated:
        inner, *marks = typing.get_args(kind)
        yield from _marks(inner)
        for mark in marks:
            # a `Field(ge=1)` inside a nested annotation, such as that of list items
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
    plain = {
        str: "text",
        Path: "a path",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
    }
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
    limits = [f"{sign} {bounds[name]}" for name, sign in signs.items() if name in bounds]
    return f" {' and '.join(limits)}" if limits else ""


def _converted(kind: Kind, value: object, text: str, depth: int) -> object:
    """A value converted to one alternative of a union."""
    bare = _bare(kind)
    origin, arguments = _origin(bare), typing.get_args(bare)
    written = text or (value if isinstance(value, str) else "")
    if origin is Literal:
        return _nearest(written, [str(argument) for argument in arguments])
    if origin is tuple:
        return _as_list(arguments, value, written, depth)
    if origin is dict:
        return _as_mapping(value)
    if _is_section(bare):
        return _as_section(bare, value, text, depth)
    return _number(value) if bare in {int, float} else _as_text(bare, value, text)


def _as_text(bare: Kind, value: object, text: str) -> object:
    """A plain ASCII name; or the text as written, where YAML parsed it as another type."""
    if bare not in {str, Path} or isinstance(value, dict | list | None):
        return NOTHING
    if isinstance(value, str):
        return spelling.plain(value)
    return text or (NOTHING if isinstance(value, bool) else str(value))


def _as_mapping(value: object) -> object:
    """A mapping of the given names to empty sections."""
    names = value if isinstance(value, list) else [value]
    named = bool(names) and all(isinstance(name, str) for name in names)
    return {str(name): {} for name in names} if named else NOTHING


def _nearest(text: str, names: Sequence[str]) -> object:
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


def _as_list(kinds: Sequence[Kind], value: object, text: str, depth: int) -> object:
    """A list made of a single value, or of a text with separators."""
    if isinstance(value, dict) and "name" not in value:
        return _as_named_items(kinds[0], value)
    if value is None:
        return NOTHING
    length = None if kinds[-1] is Ellipsis else len(kinds)
    split = (
        re.split(r"\s*[,;x\u00d7\s]\s*", value.strip())
        if isinstance(value, str) and length
        else None
    )
    if split and len(split) > 1:
        split = [part if _number(part) is NOTHING else _number(part) for part in split]
    elements = value if isinstance(value, list) else split or [value]
    if length and len(elements) == 1:
        elements = elements * length
    converted = [
        nearby(kinds[0], element, "" if isinstance(value, list) else text, depth)
        for element in elements
    ]
    return NOTHING if any(element is NOTHING for element in converted) else converted


def _as_named_items(kind: Kind, value: Mapping[str, object]) -> object:
    """A list of named items made of a mapping from names, such as `{gland: 1}`."""
    needed = [
        name
        for option in sections(kind)
        for name, info in option.model_fields.items()
        if info.is_required()
    ]
    if needed[:1] != ["name"] or len(needed) != 2:
        return NOTHING
    return [{"name": name, needed[1]: inner} for name, inner in value.items()]


def _as_section(section: type[BaseModel], value: object, text: str, depth: int) -> object:
    """A section with the value at the one key that it fits."""
    if isinstance(value, str) and tags(section):
        near = _nearest(value, tags(section))
        return NOTHING if near is NOTHING else {tag(section): near}
    if value is None or isinstance(value, dict | bool) or depth >= _DEPTH:
        return NOTHING
    fields = {
        name: of_field(info) for name, info in section.model_fields.items() if name not in TAGS
    }
    for convert in (_exact, functools.partial(nearby, text=text, depth=depth + 1)):
        for name, kind in fields.items():
            candidate = NOTHING if _takes_any_text(kind) else convert(kind, value)
            if candidate is not NOTHING:
                return {name: candidate}
    free = [name for name, kind in fields.items() if _takes_any_text(kind) and fits(kind, value)]
    return {free[0]: value} if free else NOTHING


def _exact(kind: Kind, value: object) -> object:
    return value if fits(kind, value) else NOTHING


def _takes_any_text(kind: Kind) -> bool:
    """Whether any text is valid."""
    return any(_bare(option) in {str, Path} for option in options(kind))


def example(section: type[BaseModel]) -> str:
    """An example line of a section's content."""
    for name, info in section.model_fields.items():
        if isinstance(info.default, int | float | str) and not isinstance(info.default, Mapping):
            default = str(info.default).lower() if isinstance(info.default, bool) else info.default
            return f"{name}: {default}"
    name = next(iter(section.model_fields))
    return f"{name}: ..."
