"""References to custom code, such as `my_losses.py:curvature`, in a configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, Field

from tenter import plugins
from tenter.config.paths import expanded
from tenter.config.section import Section
from tenter.config.yaml_files import beside
from tenter.errors import InputError
from tenter.records import Fault

T = TypeVar("T")
Located = tuple[tuple[str | int, ...], "CustomCode"]


def _reference(text: str) -> str:
    place, _, name = text.rpartition(":")
    if place.endswith(plugins.SUFFIX):
        place = expanded(place)
    return plugins.parse(f"{place}:{name}").text


Reference = Annotated[str, AfterValidator(_reference)]
"""`<file>.py:<name>` or `<package.module>:<name>`."""


class CustomCode(Section):
    """Base class of settings of custom code: where it is, and the settings that it declares itself.

    Attributes:
        key: the key that holds the reference.
    """

    key: ClassVar[str] = "name"

    if TYPE_CHECKING:
        settings: dict[str, Any]

    @property
    def reference(self) -> plugins.Reference:
        """Its file or module, and the name in it."""
        return plugins.parse(getattr(self, self.key))


class NamedCode(CustomCode):
    """Settings of custom code that is named by the key `name`."""

    name: Reference
    """Where it is: `<file>.py:<name>`, relative to this file, or `<package.module>:<name>`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Its settings, as the code declares them."""


def custom_code(value: object, location: tuple[str | int, ...] = ()) -> Iterator[Located]:
    """The custom code that settings name, each with the keys that lead to it."""
    if isinstance(value, CustomCode):
        yield location, value
    if isinstance(value, Section):
        value = {key: getattr(value, key) for key in type(value).model_fields}
    if isinstance(value, dict | tuple):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from custom_code(item, (*location, key))


def require(settings: Section) -> None:
    """Refuse references to code that does not exist. Nothing is imported.

    Raises:
        InputError: with every fault.
    """
    faults: list[Fault] = []
    for location, code in custom_code(settings):
        try:
            plugins.verify(code.reference)
        except InputError as error:
            column = ".".join(map(str, (*location, code.key)))
            faults += [replace(fault, column=column) for fault in error.faults]
    if faults:
        raise InputError(faults)


def located(value: T, config: Path) -> T:
    """The same settings, with the files of custom code as paths from the working directory.

    Args:
        value: a section, or what a section holds.
        config: file of the configuration, to whose folder such paths are relative.
    """
    result: T = _renamed(value, lambda place: beside(config, Path(place)).as_posix())
    return result


def portable(value: T) -> T:
    """The same settings, with the files of custom code by their names alone."""
    result: T = _renamed(value, lambda place: Path(place).name)
    return result


def _renamed(value: Any, rename: Callable[[str], str]) -> Any:  # noqa: ANN401 - any setting
    if isinstance(value, tuple):
        items = tuple(_renamed(item, rename) for item in value)
        return items if _differ(items, value) else value
    if isinstance(value, dict):
        entries = {key: _renamed(item, rename) for key, item in value.items()}
        return entries if _differ(entries.values(), value.values()) else value
    if not isinstance(value, Section):
        return value
    changes: dict[str, Any] = {}
    for key in type(value).model_fields:
        changed = _renamed(getattr(value, key), rename)
        if changed is not getattr(value, key):
            changes[key] = changed
    if isinstance(value, CustomCode) and value.reference.is_file:
        changes[value.key] = f"{rename(value.reference.place)}:{value.reference.name}"
    return value.model_copy(update=changes) if changes else value


def _differ(first: Iterable[object], second: Iterable[object]) -> bool:
    return any(a is not b for a, b in zip(first, second, strict=True))
