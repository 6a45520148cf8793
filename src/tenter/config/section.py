"""What every section of the configuration is: frozen, and strict about unknown keys."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


class Section(BaseModel):
    """A part of the configuration; unknown keys are refused, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, values: Any) -> Any:  # noqa: ANN401 - any YAML value
        """Read `1e-3` as a number, which YAML 1.1 leaves as text; never read `yes` as the number 1."""
        if not isinstance(values, dict):
            return values
        kinds = {name: frozenset(_kinds(info.annotation)) for name, info in cls.model_fields.items()}
        return {key: _plain(value, kinds.get(key, frozenset())) for key, value in values.items()}


def _plain(value: Any, kinds: frozenset[object]) -> Any:  # noqa: ANN401 - any YAML value
    """A value as its text says; a truth value where a number belongs becomes text, which is refused."""
    if isinstance(value, list):
        return [_plain(item, kinds) for item in value]
    if not kinds & {int, float} or kinds & {str, bool}:
        return value
    if isinstance(value, bool):
        return str(value).lower()
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


def _kinds(annotation: Any) -> Iterator[object]:  # noqa: ANN401 - any annotation
    """The types that a value, or an item of it, may have."""
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is Literal or not arguments:
        yield annotation
        return
    for argument in arguments:
        yield from _kinds(argument)
