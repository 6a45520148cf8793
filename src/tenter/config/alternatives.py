"""Alternatives of a section that are told apart by their `name`, such as networks and losses.

The alternatives of a kind are the subclasses of its base class: a class that is defined is listed,
with its costs and its keys, wherever the kind is asked for.
"""

from __future__ import annotations

import functools
import operator
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Discriminator, Field, Tag

from tenter.config.section import Section

S = TypeVar("S", bound=Section)

TAGS = ("built-in", "custom")
"""What pydantic puts between a key and its alternatives in the location of an error."""


def names(section: type[Section]) -> tuple[str, ...]:
    """The values of `name` that select a section; none for a base class or for custom code."""
    info = section.model_fields.get("name")
    if info is None or typing.get_origin(info.annotation) is not Literal:
        return ()
    return typing.get_args(info.annotation)


def alternatives(base: type[S]) -> Iterator[type[S]]:
    """Every class of a kind that a `name` selects, in the order of their definition."""
    if names(base):
        yield base
    for section in base.__subclasses__():
        yield from alternatives(section)


def union(
    base: type[Section],
    custom: type[Section] | None = None,
    accepts: Callable[[Any], bool] = lambda _: True,
) -> Any:  # noqa: ANN401 - an annotation
    """The annotation of a key that holds one of the classes of a kind.

    Args:
        base: base class of the kind.
        custom: class for a reference to custom code, such as `my_losses.py:curvature`.
        accepts: which of the classes may be used.
    """
    members: Any = tuple(section for section in alternatives(base) if accepts(section))
    named: Any = Annotated[functools.reduce(operator.or_, members), Field(discriminator="name")]
    if custom is None:
        return named
    return or_custom(named, custom, "name")


def or_custom(named: Any, custom: type[Section], key: str) -> Any:  # noqa: ANN401 - annotations
    """The annotation of a key that holds a built-in alternative or refers to custom code.

    Args:
        named: annotation of the built-in alternatives.
        custom: class for a reference to custom code.
        key: the key whose value selects the alternative.
    """

    def origin(value: Any) -> str:  # noqa: ANN401 - any YAML value, or a section
        name = value.get(key) if isinstance(value, dict) else getattr(value, key, None)
        return TAGS[is_reference(name)]

    tagged: Any = (Annotated[named, Tag(TAGS[0])], Annotated[custom, Tag(TAGS[1])])
    return Annotated[functools.reduce(operator.or_, tagged), Discriminator(origin)]


def is_reference(name: object) -> bool:
    """Whether a `name` refers to custom code, such as `my_losses.py:curvature`."""
    return isinstance(name, str) and ":" in name
