"""Base class of the sections of the configuration: frozen, strict about unknown keys."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


class Section(BaseModel):
    """A section of the configuration; immutable, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, values: Any) -> Any:  # noqa: ANN401 - any YAML value
        """Read `1e-3`, text in YAML 1.1, as a number; refuse `yes`, a boolean, as a number."""
        if not isinstance(values, dict):
            return values
        kinds = {
            name: frozenset(_kinds(info.annotation)) for name, info in cls.model_fields.items()
        }
        return {key: _plain(value, kinds.get(key, frozenset())) for key, value in values.items()}


def _plain(value: Any, kinds: frozenset[object]) -> Any:  # noqa: ANN401 - any YAML value
    """Convert exponents to numbers, and booleans to text where a number is expected."""
    if isinstance(value, list):
        return [_plain(element, kinds) for element in value]
    if not kinds & {int, float} or kinds & {str, bool}:
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


def _kinds(annotation: Any) -> Iterator[object]:  # noqa: ANN401 - any annotation
    """The types that a value, or an item in it, may have."""
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is Literal or not arguments:
        yield annotation
        return
    for argument in arguments:
        yield from _kinds(argument)
