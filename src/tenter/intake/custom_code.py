"""Checks of custom code before the first job: that it exists, loads, and fits its place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tenter import config, networks, plugin_imports
from tenter.config import Config, faults, yaml_files
from tenter.config.custom import CustomCode, custom_code, located
from tenter.errors import InputError, InvalidValueError
from tenter.finished import FinishedModel
from tenter.metrics import custom, definitions
from tenter.records import Fault, Plan
from tenter.study import Study

PAGE = "docs/how-to/your-own-code.md"

TENSORS: dict[type[CustomCode], tuple[str, ...]] = {
    config.CustomLabelLoss: ("warped", "fixed"),
    config.CustomImageLoss: ("warped", "fixed", "inside"),
    config.CustomRegulariser: ("field",),
    config.CustomNetwork: (),
    config.CustomMethod: ("pair", "images"),
}
"""Arguments that code is called with by position, except metrics."""

MEASURED: dict[str, tuple[str, ...]] = {
    "label": ("warped", "fixed"),
    "field": ("displacement_mm",),
}
"""Arguments that a metric is called with by position, by what it measures."""

GEOMETRY: dict[str, Any] = {"spacing_mm": (1.0, 1.0, 1.0), "affine": None}
"""Arguments that losses and metrics get if they have parameters of these names."""

Location = tuple[str | int, ...]


def unusable(path: Path, settings: Config) -> Iterator[Fault]:
    """Faults of the custom code that a configuration names. Its code is imported, and so run.

    Args:
        path: the configuration file.
        settings: its content.
    """
    for location, code in custom_code(settings):
        for fault in _faults(located(code, path)):
            keys = (*location, *([fault.column] if fault.column else []))
            line = yaml_files.scalar(path, (*location, *(fault.column or code.key).split(".")))
            column = ".".join(map(str, keys))
            yield replace(fault, file=str(path), row=line[0] if line else None, column=column)


def absent(path: Path, model: FinishedModel) -> Iterator[Fault]:
    """Faults of the custom code that a finished model needs beside the configuration.

    Args:
        path: the configuration file.
        model: the finished model that it applies.
    """
    for fold in model.folds:
        try:
            fold.beside(path)
        except InputError as error:
            yield from (replace(fault, file=str(path), column="model") for fault in error.faults)
            return


def unfit(study: Study, plan: Plan) -> Iterator[Fault]:
    """Custom networks that fail on the plan's grid, or whose field has another shape.

    They are run on tensors without values, as the forecast does.
    """
    for name, model in study.config.models.items():
        if isinstance(model.network, config.CustomNetwork):
            reason = _failure(model.network, plan)
            if reason:
                message = f"{model.network.reference.portable} {reason}"
                fix = f"correct its `forward`: {PAGE} says what it takes and returns"
                column = f"models.{name}.network.name"
                yield Fault(str(study.path), message, fix, column=column)


def _failure(settings: config.CustomNetwork, plan: Plan) -> str:
    channels = (plan.moving_channels, plan.fixed_channels)
    expected = (1, len(plan.shape), *plan.shape)
    try:
        with FakeTensorMode(), torch.no_grad():
            network = networks.on_grid(settings, channels, plan.shape)
            field: Any = network(*(torch.zeros(1, count, *plan.shape) for count in channels))
    except Exception as error:  # noqa: BLE001 - of other people's code
        reason = " ".join(str(error).split())[:200]
        return f"fails on images of the plan's grid ({type(error).__name__}: {reason})"
    if not torch.is_tensor(field) or tuple(field.shape) != expected:
        given = tuple(field.shape) if torch.is_tensor(field) else type(field).__name__
        return f"returns {given} on the plan's grid instead of a field {expected}"
    return ""


def _faults(code: CustomCode) -> list[Fault]:
    """Faults with the key below the code's own; the file is left to the caller."""
    try:
        loaded = plugin_imports.load(code.reference)
    except InputError as error:
        return [
            Fault("", f"{fault.file}: {fault.message}", fault.fix, column=code.key)
            for fault in error.faults
        ]
    if isinstance(code, config.CustomNetwork) and not _is_module(loaded):
        message = f"{code.reference.portable} is not a class derived from torch.nn.Module"
        return [Fault("", message, "derive it from torch.nn.Module", column="name")]
    try:
        keywords = plugin_imports.validated(loaded, code.settings)
    except InvalidValueError as error:
        message = f"{code.reference.portable}: {error.message}"
        return [Fault("", message, error.fix, column="settings")]
    except ValidationError as error:
        kind = plugin_imports.settings_class(loaded)
        assert kind is not None  # noqa: S101 - something was validated
        wrong_settings = faults.of_validation(kind, code.settings, Path(), error)
        return [replace(fault, column=_below(fault.column)) for fault in wrong_settings]
    return _signature(code, loaded, keywords) or _of_metric(code)


def _is_module(loaded: object) -> bool:
    return inspect.isclass(loaded) and issubclass(loaded, nn.Module)


def _below(column: str | None) -> str:
    return f"settings.{column}" if column else "settings"


def _signature(
    code: CustomCode, loaded: Callable[..., Any], keywords: dict[str, Any]
) -> list[Fault]:
    """A fault if the code cannot be called as it will be."""
    tensors = _positional(code)
    if isinstance(code, config.CustomNetwork):
        keywords = {"channels": (1, 1), "dimensions": 3, **keywords}
    elif not isinstance(code, config.CustomMethod):
        names = GEOMETRY.keys() & plugin_imports.parameters(loaded).keys()
        keywords = {**{name: GEOMETRY[name] for name in names}, **keywords}
    try:
        inspect.signature(loaded).bind(*tensors, **keywords)
    except TypeError as error:
        called = ", ".join((*tensors, *keywords))
        message = f"{code.reference.portable} cannot be called with ({called}): {error}"
        fix = f"give it these parameters: {PAGE} has an example"
        return [Fault("", message, fix, column=code.key)]
    return []


def _positional(code: CustomCode) -> tuple[str, ...]:
    return MEASURED[code.of] if isinstance(code, config.CustomMetric) else TENSORS[type(code)]


def _of_metric(code: CustomCode) -> list[Fault]:
    """A fault of a metric that fails on a small example, or has the name of another metric."""
    if not isinstance(code, config.CustomMetric):
        return []
    if code.column in {metric.name for metric in definitions.METRICS}:
        message = f"{code.column!r} is the name of a metric of tenter"
        return [Fault("", message, "give the function another name", column=code.key)]
    reason = custom.trial(custom.load((code,))[0])
    if reason:
        message = f"{code.reference.portable} {reason}, tried on a small example"
        return [Fault("", message, custom.FIX, column=code.key)]
    return []
