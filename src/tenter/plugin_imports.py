"""Custom code imported, which runs it, and the settings that it declares."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from tenter import plugins
from tenter.errors import InputError, InvalidValueError

SETTINGS = "settings"
"""Name of the parameter that takes the settings of custom code."""


def load(reference: plugins.Reference) -> Callable[..., Any]:
    """Import custom code, which runs it.

    Raises:
        InputError: it cannot be imported, or is not a function or class.
    """
    plugins.verify(reference)
    try:
        module = (
            _from_file(reference) if reference.is_file else importlib.import_module(reference.place)
        )
        loaded = getattr(module, reference.name)
    except InputError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise plugins.refusal(reference, f"cannot be imported ({reason})", "correct it") from error
    if not callable(loaded):
        raise plugins.refusal(
            reference, f"`{reference.name}` is not a function or class", "name one of these"
        )
    result: Callable[..., Any] = loaded
    return result


def settings_class(code: Callable[..., Any]) -> type[BaseModel] | None:
    """The class of the parameter `settings`; None without that parameter.

    Raises:
        InvalidValueError: it is not annotated with a pydantic model.
    """
    if SETTINGS not in parameters(code):
        return None
    annotation = parameters(code)[SETTINGS].annotation
    names = vars(sys.modules[code.__module__])
    try:
        stub = types.SimpleNamespace(__annotations__={SETTINGS: annotation})
        kind = typing.get_type_hints(stub, names)[SETTINGS]
    except NameError:
        kind = None
    if not (inspect.isclass(kind) and issubclass(kind, BaseModel)):
        message = "its parameter `settings` is not annotated with a pydantic model"
        raise InvalidValueError(message, "annotate it, as in `settings: MySettings`")
    return kind


def parameters(code: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a function, or of the construction of a class."""
    return inspect.signature(code).parameters


def validated(code: Callable[..., Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The argument `settings` of custom code, if it takes any.

    Unknown keys are errors, whatever the model says of them.

    Args:
        code: the function or class.
        settings: its keys in the configuration.

    Raises:
        ValidationError: the settings are not valid.
        InvalidValueError: the code does not declare settings.
    """
    kind = settings_class(code)
    if kind is None:
        if settings:
            fix = "leave `settings` out, or give the code a parameter `settings`"
            message = "takes no settings"
            raise InvalidValueError(message, fix)
        return {}
    return {SETTINGS: kind.model_validate(dict(settings), extra="forbid")}


def arguments(
    reference: plugins.Reference, code: Callable[..., Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """As `validated`, in a job.

    Raises:
        InputError: the settings do not fit the code.
    """
    try:
        return validated(code, settings)
    except InvalidValueError as error:
        raise plugins.refusal(reference, error.message, error.fix) from error
    except ValidationError as error:
        detail = error.errors()[0]
        key = ".".join(map(str, (SETTINGS, *detail["loc"])))
        raise plugins.refusal(
            reference, f"`{key}`: {detail['msg']}", "run `tenter check`"
        ) from error


def _from_file(reference: plugins.Reference) -> Any:  # noqa: ANN401 - a module
    """The module of a file, with the files beside it that it imports."""
    files = plugins.sources(reference)
    path = Path(reference.place).resolve()
    name = f"{path.stem}@{path.parent}"
    content = tuple(file.read_bytes() for file in files.values())
    known = sys.modules.get(name)
    if known is not None and known.__dict__.get("__tenter_content__") == content:
        return known
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise plugins.refusal(reference, "cannot be imported", "name a Python file")
    module = importlib.util.module_from_spec(specification)
    siblings = list(files.values())[1:]
    for sibling in siblings:
        _require_free_name(reference, sibling)
    with _first_on_path(path.parent), _removed_on_failure(name):
        sys.modules[name] = module
        specification.loader.exec_module(module)
        for sibling in siblings:  # those that a function imports are found from now on
            importlib.import_module(sibling.stem)
    module.__dict__["__tenter_content__"] = content
    return module


def _require_free_name(reference: plugins.Reference, sibling: Path) -> None:
    """Refuse a file beside custom code that has the name of another module."""
    specification = plugins.specification(sibling.stem)
    if specification is None:
        return
    if Path(specification.origin or "").resolve() != sibling.resolve():
        message = f"imports {sibling.name} beside it, but Python has another `{sibling.stem}`"
        raise plugins.refusal(reference, message, "give that file another name")
    sys.modules.pop(sibling.stem, None)  # an earlier state of the file


@contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    """Import from a folder first, as a script does."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


@contextmanager
def _removed_on_failure(name: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        sys.modules.pop(name, None)
        raise
