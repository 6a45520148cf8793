"""A finished model as described by its `model.json` files: folds and plan, without weights."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from tenter import files, plugins
from tenter.config import Network, PlanRules
from tenter.config.alternatives import TAGS
from tenter.config.cohort import IntensityRule, Name, Positive
from tenter.errors import CheckpointError, DataError, InputError
from tenter.model_code import usable_network
from tenter.records import AlignmentRule, Fault, Plan

FORMAT = 1
WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"
HISTORY = "history.csv"
LAST = "fold-all"
"""Folder of the model that is trained on all patients."""

Count = Annotated[int, Field(ge=1)]

_NAME: TypeAdapter[str] = TypeAdapter(Name)

_PLAN_KEYS = [field.name for field in fields(Plan) if field.name != "cohort"]

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
    """The parts of `model.json` that registration requires; the rest is for people."""

    format: Literal[1]
    fold: str
    network: Network
    channels: _Channels
    plan: _Plan
    weights_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    custom_code: Annotated[dict[str, dict[str, str]], Field(default_factory=dict)]


@dataclass(frozen=True, slots=True)
class FinishedFold:
    """One fold of a finished model.

    Attributes:
        folder: folder of the weights and their description.
        plan: grid, spacing, intensity rule, alignment and channels of its training cases.
        network: its architecture.
        weights_sha256: sha256 of the file of the weights.
        custom_code: hashes of the files of custom code, by reference.
    """

    folder: Path
    plan: Plan
    network: Network
    weights_sha256: str
    custom_code: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def beside(self, config: Path) -> Network:
        """Its network; one of custom code as the file beside a configuration, or as a package.

        Raises:
            InputError: the code is not there, or is not that of the training.
        """
        name = self.network.name
        package = name.partition(":")[0].partition(".")[0]
        trusted = plugins.Trusted((str(config.parent), package))
        return usable_network(self.folder, self.network, self.custom_code, trusted)


@dataclass(frozen=True, slots=True)
class FinishedModel:
    """A finished model whose folds register together.

    Attributes:
        folder: folder as the configuration names it.
        folds: at least one, all with the same plan.
    """

    folder: Path
    folds: tuple[FinishedFold, ...]

    @property
    def plan(self) -> Plan:
        """The plan that all folds share."""
        return self.folds[0].plan

    @property
    def digest(self) -> str:
        """Short hash of the plan without the statistics of the cohort."""
        plan = {name: getattr(self.plan, name) for name in _PLAN_KEYS}
        return files.digest(plan)[:16]

    @property
    def rules(self) -> PlanRules:
        """The rules of the plan, with none left to its default."""
        plan = self.plan
        return PlanRules(
            spacing_mm=plan.spacing_mm,
            shape=plan.shape,
            intensity=plan.intensity,
            alignment=plan.alignment,
        )


def describe(folder: Path) -> dict[str, Any]:
    """Return the content of a fold's `model.json`.

    Raises:
        CheckpointError: it does not exist, or is not in the format of this version.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        fix = "name the folder of a finished fold"
        raise CheckpointError(Fault(str(path), "does not exist", fix))
    try:
        description = files.read_object(path, {"format": int}, _RETRAIN)
        if description["format"] == FORMAT:
            files.require_keys(path, description, {"fold": str, "weights_sha256": str}, _RETRAIN)
    except DataError as error:
        raise CheckpointError(error.faults) from error
    if description["format"] != FORMAT:
        message = f"is not in model format {FORMAT}"
        fix = "train the model again with this version"
        raise CheckpointError(Fault(str(path), message, fix))
    return description


def plan_of(description: Mapping[str, Any], path: Path) -> Plan:
    """The plan by which the cases of a fold were prepared.

    Args:
        description: content of `model.json`.
        path: the file, for the error.

    Raises:
        CheckpointError: it does not hold a valid plan.
    """
    try:
        return _plan(_Plan.model_validate(description.get("plan")))
    except ValidationError as error:
        message = f"holds no valid plan ({_reason(error)})"
        raise CheckpointError(Fault(str(path), message, _RETRAIN)) from error


def members(model: Path) -> tuple[Path, ...]:
    """Folders of the folds that register together.

    Args:
        model: folder of one fold, or of a model with its folds, where `fold-all`, which is trained
            on all patients, is used only if it is the only one.

    Raises:
        InputError: there is no fold, or one of them is not finished.
    """
    if (model / DESCRIPTION).is_file():
        return (model,)
    folders = sorted(path for path in model.glob("fold-*") if path.is_dir())
    chosen = [path for path in folders if path.name != LAST]
    finished = {path for path in folders if (path / DESCRIPTION).is_file()}
    if not finished:
        raise InputError([_missing_model(model)])
    if not chosen:
        return (model / LAST,)
    unfinished = [path for path in chosen if path not in finished]
    if unfinished:
        names = ", ".join(path.name for path in unfinished)
        message = (
            f"{names} holds no {DESCRIPTION}: the training has not finished, or the file was lost"
        )
        fix = "finish the training, or remove the folder to register without this fold"
        raise InputError([Fault(str(model), message, fix)])
    return tuple(chosen)


def load(model: Path, config: Path | None = None) -> FinishedModel:
    """Read the descriptions of a finished model.

    Args:
        model: as for `members`.
        config: a configuration that applies it, beside which its custom code has to be.

    Raises:
        InputError: with every fault found: no finished fold, damaged descriptions, folds with
            different plans, two folds with the same weights, custom code that is not there.
    """
    results = [_read(folder) for folder in members(model)]
    faults = [result for result in results if isinstance(result, Fault)]
    folds = tuple(result for result in results if isinstance(result, FinishedFold))
    if not faults:
        faults = [*_differences(folds), *_copies(folds)]
    if faults:
        raise InputError(faults)
    if config is not None:
        folds[0].beside(config)
    return FinishedModel(model, folds)


def damaged_weights(model: FinishedModel) -> Iterator[Fault]:
    """Faults of folds whose weights are missing or differ from `model.json`; reads every byte."""
    for fold in model.folds:
        path = fold.folder / WEIGHTS
        if not path.is_file():
            yield Fault(str(path), "does not exist", _RETRAIN)
        elif files.sha256(path) != fold.weights_sha256:
            message = f"is damaged: its sha256 is not the one in {DESCRIPTION}"
            yield Fault(str(path), message, _RETRAIN)


def is_plan(path: Path, model: FinishedModel) -> bool:
    """Whether a file holds the plan of a model, for any cohort."""
    try:
        return _differing_keys(_plan(_Plan.model_validate(files.read_json(path))), model.plan) == []
    except (DataError, OSError, ValueError):
        return False


def conflicts(stated: PlanRules, model: FinishedModel, config: Path) -> tuple[Fault, ...]:
    """Faults that prevent a configuration from applying a finished model.

    Args:
        stated: the configuration's `plan`; only keys that are set in it count.
        model: the finished model.
        config: file of the configuration.

    Returns:
        A fault for each key of `plan` that differs from the model's plan, and for a folder whose
        name cannot name a model in the results.
    """
    faults = []
    for key in sorted(stated.model_fields_set):
        configured, trained = getattr(stated, key), getattr(model.plan, key)
        if configured is None or _equal(configured, trained):
            continue
        message = (
            f"is {_text(configured)}, "
            f"but the model {model.folder} was trained with {_text(trained)}"
        )
        fix = f"remove `{key}` from `plan`: the plan comes from the model"
        faults.append(Fault(str(config), message, fix, column=f"plan.{key}"))
    try:
        _NAME.validate_python(model.folder.name)
    except ValidationError:
        message = (
            f"the folder's name {model.folder.name!r} cannot be the model's name in the results"
        )
        fix = "rename the folder: letters, digits, `_` and `-`, at most 64"
        faults.append(Fault(str(config), message, fix, column="model"))
    return tuple(faults)


def _read(folder: Path) -> FinishedFold | Fault:
    path = folder / DESCRIPTION
    try:
        description = _Description.model_validate(describe(folder))
    except CheckpointError as error:
        return error.faults[0]
    except ValidationError as error:
        return Fault(str(path), f"is damaged ({_reason(error)})", _RETRAIN)
    channels = (description.channels.moving, description.channels.fixed)
    planned = (description.plan.moving_channels, description.plan.fixed_channels)
    if channels != planned:
        message = f"is damaged (`channels` are {_text(channels)}, those of `plan` {_text(planned)})"
        return Fault(str(path), message, _RETRAIN)
    return FinishedFold(
        folder,
        _plan(description.plan),
        description.network,
        description.weights_sha256,
        description.custom_code,
    )


def _plan(description: _Plan) -> Plan:
    return Plan(**{field.name: getattr(description, field.name) for field in fields(Plan)})


def _reason(error: ValidationError) -> str:
    detail = error.errors()[0]
    where = ".".join(str(part) for part in detail["loc"] if part not in TAGS)
    reason = re.sub(r"[\s;]+", " ", detail["msg"])
    return f"{where}: {reason}" if where else reason


def _missing_model(model: Path) -> Fault:
    """The fault of a folder without a finished model; names the models in its subfolders."""
    message = "holds no finished model" if model.is_dir() else "is not a folder"
    below = sorted({path.parents[1].name for path in model.glob(f"*/fold-*/{DESCRIPTION}")})
    fix = f"name a folder that holds fold-*/{DESCRIPTION}, or one fold's folder"
    return Fault(
        str(model), message, f"name one of the models in it: {', '.join(below)}" if below else fix
    )


def _differences(folds: Sequence[FinishedFold]) -> Iterator[Fault]:
    first = folds[0]
    for fold in folds[1:]:
        differences = [
            f"{key} {_text(getattr(fold.plan, key))}, not {_text(getattr(first.plan, key))}"
            for key in _differing_keys(fold.plan, first.plan)
        ]
        if differences:
            message = (
                f"was trained with another plan than {first.folder.name}: {', '.join(differences)}"
            )
            fix = "keep folds of one training alone in the model's folder, or train it again"
            yield Fault(str(fold.folder / DESCRIPTION), message, fix)


def _differing_keys(first: Plan, second: Plan) -> list[str]:
    """Keys in which two plans differ, without the statistics of the cohort."""
    return [name for name in _PLAN_KEYS if getattr(first, name) != getattr(second, name)]


def _copies(folds: Sequence[FinishedFold]) -> Iterator[Fault]:
    known: dict[str, Path] = {}
    for fold in folds:
        original = known.setdefault(fold.weights_sha256, fold.folder)
        if original != fold.folder:
            message = f"has the same weights as {original.name}"
            yield Fault(str(fold.folder / DESCRIPTION), message, "remove one of the two folders")


def _equal(configured: object, trained: object) -> bool:
    """Whether a configured value equals the plan's; one voxel size stands for all three axes."""
    if isinstance(configured, int | float) and isinstance(trained, tuple):
        configured = (configured,) * len(trained)
    if isinstance(configured, tuple) and isinstance(trained, tuple):
        return all(
            math.isclose(a, b, rel_tol=1e-6) for a, b in zip(configured, trained, strict=True)
        )
    return configured == trained


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return " x ".join(_text(element) for element in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
