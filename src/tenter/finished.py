"""A finished model as its `model.json` files describe it: its folds and their plan; reads no weights."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from tenter import files
from tenter.config import Network, PlanRules
from tenter.config.cohort import IntensityRule, Name, Positive
from tenter.errors import CheckpointError, DataError, InputError
from tenter.records import AlignmentRule, Fault, Plan

FORMAT = 1
WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"
LAST = "fold-all"
"""Folder of the fold that is trained on every patient."""

Count = Annotated[int, Field(ge=1)]

_NAME: TypeAdapter[str] = TypeAdapter(Name)

_NAMES = [item.name for item in fields(Plan) if item.name != "cohort"]

_RETRAIN = "restore the file from a backup, or train the fold again"


class _Plan(BaseModel):
    shape: tuple[Count, Count, Count]
    spacing_mm: tuple[Positive, Positive, Positive]
    intensity: IntensityRule
    alignment: AlignmentRule
    moving_channels: Count = 1
    fixed_channels: Count = 1
    cohort: Annotated[dict[str, Any], Field(default_factory=dict)]


class _Channels(BaseModel):
    moving: Count
    fixed: Count


class _Description(BaseModel):
    """What must be in `model.json` for the model to register anything; the rest is for people."""

    format: Literal[1]
    fold: str
    network: Network
    channels: _Channels
    plan: _Plan
    weights_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True)
class FinishedFold:
    """One fold of a finished model.

    Attributes:
        folder: holds the weights and their description.
        plan: grid, spacing, intensity rule, alignment and channels of the cases it was trained on.
        network: its architecture.
        weights_sha256: of the weights' file.
    """

    folder: Path
    plan: Plan
    network: Network
    weights_sha256: str


@dataclass(frozen=True, slots=True)
class FinishedModel:
    """A finished model whose folds register together.

    Attributes:
        folder: as the configuration names it.
        folds: at least one, all of one plan.
    """

    folder: Path
    folds: tuple[FinishedFold, ...]

    @property
    def plan(self) -> Plan:
        """The plan that all folds share."""
        return self.folds[0].plan

    @property
    def digest(self) -> str:
        """Hash of the plan, in short; the cohort's figures are left out of it."""
        plan = {name: getattr(self.plan, name) for name in _NAMES}
        return files.digest(plan)[:16]

    @property
    def rules(self) -> PlanRules:
        """The plan's rules, each of them stated."""
        plan = self.plan
        return PlanRules(
            spacing_mm=plan.spacing_mm,
            shape=plan.shape,
            intensity=plan.intensity,
            alignment=plan.alignment,
        )


def describe(folder: Path) -> dict[str, Any]:
    """Return what a fold's `model.json` holds.

    Raises:
        CheckpointError: there is none, or it is not in this version's format.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        message = f"{path}: does not exist; name the folder of a finished fold"
        raise CheckpointError(message)
    try:
        description = files.read_object(path, {"format": int}, _RETRAIN)
        if description["format"] == FORMAT:
            files.require_keys(path, description, {"fold": str, "weights_sha256": str}, _RETRAIN)
    except DataError as error:
        raise CheckpointError(str(error)) from error
    if description["format"] != FORMAT:
        message = f"{path}: is not in model format {FORMAT}; train the model again with this version"
        raise CheckpointError(message)
    return description


def plan_of(description: Mapping[str, Any], path: Path) -> Plan:
    """The plan that a fold's cases were prepared by.

    Args:
        description: what `model.json` holds.
        path: the file, for the error.

    Raises:
        CheckpointError: it holds no valid plan.
    """
    try:
        return _plan(_Plan.model_validate(description.get("plan")))
    except ValidationError as error:
        message = f"{path}: holds no valid plan ({_reason(error)}); {_RETRAIN}"
        raise CheckpointError(message) from error


def members(model: Path) -> tuple[Path, ...]:
    """Folders of the folds that register together.

    Args:
        model: folder of one fold, or of a model with its folds; of these `fold-all`, which is trained
            on every patient, counts only where it is alone.

    Raises:
        InputError: there is none, or one of them is not finished.
    """
    if (model / DESCRIPTION).is_file():
        return (model,)
    found = sorted(path for path in model.glob("fold-*") if path.is_dir())
    chosen = [path for path in found if path.name != LAST]
    finished = {path for path in found if (path / DESCRIPTION).is_file()}
    if not finished:
        raise InputError([_nothing(model)])
    if not chosen:
        return (model / LAST,)
    unfinished = [path for path in chosen if path not in finished]
    if unfinished:
        names = ", ".join(path.name for path in unfinished)
        message = f"{names} holds no {DESCRIPTION}: the training has not finished, or the file was lost"
        fix = "finish the training, or remove the folder to register without this fold"
        raise InputError([Fault(str(model), message, fix)])
    return tuple(chosen)


def load(model: Path) -> FinishedModel:
    """Read the descriptions of a finished model.

    Args:
        model: as for `members`.

    Raises:
        InputError: with every fault found: no finished fold, damaged descriptions, folds of different
            plans, two folds of the same weights.
    """
    found = [_read(folder) for folder in members(model)]
    faults = [item for item in found if isinstance(item, Fault)]
    folds = tuple(item for item in found if isinstance(item, FinishedFold))
    if not faults:
        faults = [*_differences(folds), *_copies(folds)]
    if faults:
        raise InputError(faults)
    return FinishedModel(model, folds)


def damaged_weights(model: FinishedModel) -> Iterator[Fault]:
    """Folds whose weights are absent, or not those that `model.json` describes; reads every byte."""
    for fold in model.folds:
        path = fold.folder / WEIGHTS
        if not path.is_file():
            yield Fault(str(path), "does not exist", _RETRAIN)
        elif files.sha256(path) != fold.weights_sha256:
            message = f"is damaged: its sha256 is not the one in {DESCRIPTION}"
            yield Fault(str(path), message, _RETRAIN)


def is_plan(path: Path, model: FinishedModel) -> bool:
    """Whether a plan's file holds the plan of a model, whatever cohort it is for."""
    try:
        return _differing(_plan(_Plan.model_validate(files.read_json(path))), model.plan) == []
    except (DataError, OSError, ValueError):
        return False


def conflicts(stated: PlanRules, model: FinishedModel, config: Path) -> tuple[Fault, ...]:
    """What keeps a configuration from applying a finished model.

    Args:
        stated: the configuration's `plan`; only keys that are written there count.
        model: the finished model.
        config: file of the configuration.

    Returns:
        Each key of `plan` that differs from the model's plan, and a folder's name that cannot name a
        model in the results.
    """
    faults = []
    for key in sorted(stated.model_fields_set):
        given, trained = getattr(stated, key), getattr(model.plan, key)
        if given is None or _equal(given, trained):
            continue
        message = f"is {_shown(given)}, but the model {model.folder} was trained with {_shown(trained)}"
        fix = f"remove `{key}` from `plan`: the plan comes from the model"
        faults.append(Fault(str(config), message, fix, column=f"plan.{key}"))
    try:
        _NAME.validate_python(model.folder.name)
    except ValidationError:
        message = f"the folder's name {model.folder.name!r} cannot be the model's name in the results"
        fix = "rename the folder: letters, digits, `_` and `-`, at most 64"
        faults.append(Fault(str(config), message, fix, column="model"))
    return tuple(faults)


def _read(folder: Path) -> FinishedFold | Fault:
    path = folder / DESCRIPTION
    try:
        found = _Description.model_validate(describe(folder))
    except CheckpointError as error:
        message, _, fix = str(error).removeprefix(f"{path}: ").rpartition("; ")
        return Fault(str(path), message, fix)
    except ValidationError as error:
        return Fault(str(path), f"is damaged ({_reason(error)})", _RETRAIN)
    channels = (found.channels.moving, found.channels.fixed)
    planned = (found.plan.moving_channels, found.plan.fixed_channels)
    if channels != planned:
        message = f"is damaged (`channels` are {_shown(channels)}, those of `plan` {_shown(planned)})"
        return Fault(str(path), message, _RETRAIN)
    return FinishedFold(folder, _plan(found.plan), found.network, found.weights_sha256)


def _plan(found: _Plan) -> Plan:
    return Plan(**{item.name: getattr(found, item.name) for item in fields(Plan)})


def _reason(error: ValidationError) -> str:
    item = error.errors()[0]
    where = ".".join(str(part) for part in item["loc"])
    reason = re.sub(r"[\s;]+", " ", item["msg"])
    return f"{where}: {reason}" if where else reason


def _nothing(model: Path) -> Fault:
    """Why a folder holds no finished model, with the models that lie below it."""
    what = "holds no finished model" if model.is_dir() else "is no folder"
    below = sorted({path.parents[1].name for path in model.glob(f"*/fold-*/{DESCRIPTION}")})
    fix = f"name a folder that holds fold-*/{DESCRIPTION}, or one fold's folder"
    return Fault(str(model), what, f"name one of the models in it: {', '.join(below)}" if below else fix)


def _differences(folds: Sequence[FinishedFold]) -> Iterator[Fault]:
    first = folds[0]
    for fold in folds[1:]:
        wrong = [
            f"{key} {_shown(getattr(fold.plan, key))}, not {_shown(getattr(first.plan, key))}"
            for key in _differing(fold.plan, first.plan)
        ]
        if wrong:
            message = f"was trained with another plan than {first.folder.name}: {', '.join(wrong)}"
            fix = "keep folds of one training alone in the model's folder, or train it again"
            yield Fault(str(fold.folder / DESCRIPTION), message, fix)


def _differing(one: Plan, other: Plan) -> list[str]:
    """Keys in which two plans differ; the cohort's figures do not count."""
    return [name for name in _NAMES if getattr(one, name) != getattr(other, name)]


def _copies(folds: Sequence[FinishedFold]) -> Iterator[Fault]:
    known: dict[str, Path] = {}
    for fold in folds:
        original = known.setdefault(fold.weights_sha256, fold.folder)
        if original != fold.folder:
            message = f"has the same weights as {original.name}"
            yield Fault(str(fold.folder / DESCRIPTION), message, "remove one of the two folders")


def _equal(given: object, trained: object) -> bool:
    """Whether a key says what the plan holds; one voxel size stands for all three."""
    if isinstance(given, int | float) and isinstance(trained, tuple):
        given = (given,) * len(trained)
    if isinstance(given, tuple) and isinstance(trained, tuple):
        return all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(given, trained, strict=True))
    return given == trained


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return " x ".join(_shown(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
