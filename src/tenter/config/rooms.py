"""The keys of settings that select a network, a loss or a custom metric by its name."""

from __future__ import annotations

import functools
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from tenter.config.settings import EvaluateSettings, InferSettings, TrainSettings


@functools.cache
def rooms() -> dict[str, str]:
    """Keys of settings whose `name` selects a module of a package, and that package.

    They are the keys for the networks and losses of `train` and `infer`, and for the custom metrics
    of `evaluate`.
    """
    return dict(
        entry
        for stage in (TrainSettings, InferSettings, EvaluateSettings)
        for entry in _rooms(stage)
    )


def _rooms(section: type[BaseModel]) -> Iterator[tuple[str, str]]:
    for key, info in section.model_fields.items():
        for inner in _sections(info.annotation):
            room = getattr(inner, "room", None)
            if room is not None:
                yield key, room
            yield from _rooms(inner)


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _sections(argument)
