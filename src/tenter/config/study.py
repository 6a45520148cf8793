"""The whole configuration: `Config`, and how it is read from YAML."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from tenter.config.cohort import Chunks, Folds, LabelFiles, Name, Pairing, PlanRules
from tenter.config.model import Model
from tenter.config.results import Evaluation, Export, Report, Runtime, Summary, Tracking
from tenter.config.section import Section
from tenter.errors import InputError
from tenter.records import Fault

LARGEST = 100_000
"""Values above which a configuration is none."""


class Config(Section):
    """A study: a cohort, the models trained on it, and how they are measured."""

    study: Name
    """Name of the study; its results lie in `<results>/<study>`."""
    manifest: Path
    """Table of pairs or of subjects (TSV or CSV), relative to this file."""
    pairing: Pairing = Pairing()
    """Which pairs are made of subjects."""
    data_root: Path | None = None
    """Folder (relative to this file) that every file of the manifest must lie in; default: anywhere."""
    results: Path = Path("results")
    """Folder of results, relative to the working directory."""
    stratum: str | None = None
    """Manifest column whose values are spread evenly over folds; default: none, or subjects' `group`."""
    labels: LabelFiles = LabelFiles()
    """The anatomical labels."""
    plan: PlanRules = PlanRules()
    """Overrides of the common grid, intensity rule and alignment."""
    folds: Folds = Folds()
    """Cross-validation."""
    chunks: Chunks = Chunks()
    """Size of jobs."""
    models: Annotated[dict[Name, Model], Field(default_factory=dict)]
    """Models by name; empty only where `model` is given."""
    model: Path | None = None
    """Folder of a finished model that registers this cohort without training.

    It is `results/<study>/models/<model>` of the study that trained it."""
    export: Export = Export()
    """Files written for each pair."""
    evaluation: Evaluation = Evaluation()
    """How results are measured."""
    summary: Summary = Summary()
    """How results are summarised."""
    report: Report = Report()
    """What the report shows."""
    tracking: Tracking = Tracking()
    """MLflow."""
    runtime: Runtime = Runtime()
    """Where work runs."""

    @model_validator(mode="after")
    def _something_registers(self) -> Config:
        if not self.models and self.model is None:
            message = "name at least one model under `models`, or a finished one in `model`"
            raise ValueError(message)
        if self.models and self.model is not None:
            message = "`models` trains, `model` applies a finished one: give one of them"
            raise ValueError(message)
        reference = self.summary.reference
        if reference is not None and reference not in self.expanded_models():
            message = f"summary.reference {reference!r} is no model of this study"
            raise ValueError(message)
        return self

    def expanded_models(self) -> dict[str, Model]:
        """Models with one seed each: repeats are called `<name>-seed<k>`."""
        expanded = {}
        for name, model in self.models.items():
            for position, seed in enumerate(model.seeds):
                key = name if position == 0 else f"{name}-seed{seed}"
                expanded[key] = model.model_copy(update={"seeds": (seed,)})
        return expanded


def read(path: Path) -> Config:
    """Read and validate a configuration file.

    Raises:
        InputError: with every fault in it, each with key, what is wrong and how to mend it.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        fault = Fault(str(path), f"cannot be read ({reason})", "give a YAML file in UTF-8")
        raise InputError([fault]) from error
    return parse(content, path)


def parse(content: object, path: Path) -> Config:
    """Validate the content of a configuration file; `path` names it in errors.

    Raises:
        InputError: with every fault in it.
    """
    if not isinstance(content, dict):
        fault = Fault(str(path), "is no mapping of keys to values", "see config/README.md for the keys")
        raise InputError([fault])
    if _entries(content, {}) > LARGEST:
        fault = Fault(str(path), "holds too many values, or an alias of itself", "write it without aliases")
        raise InputError([fault])
    try:
        return Config.model_validate(_numbers(content))
    except ValidationError as error:
        raise InputError([_fault(path, item) for item in error.errors()]) from error


def _entries(value: object, known: dict[int, int]) -> int:
    """Number of values once every alias is written out; counted without writing them out."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = LARGEST + 1  # stands until the value is counted: an alias of itself never ends
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_entries(item, known) for item in inner)
    return known[id(value)]


def _numbers(value: Any) -> Any:  # noqa: ANN401 - any YAML value
    """Read `1e-3` as a number: YAML 1.1 takes it for text as it has no point."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, str) and value[:1] in "+-.0123456789" and "e" in value.lower():
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _fault(path: Path, item: Mapping[str, Any]) -> Fault:
    location = [str(part) for part in item["loc"]]
    key = ".".join(location)
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(location[-1], sorted(_keys(Config)), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "see config/README.md for the keys"
        return Fault(str(path), "unknown key", hint, column=key)
    message = f"{item['msg']} (got {item.get('input')!r:.60})"
    return Fault(str(path), message, "see config/README.md for the allowed values", column=key or None)


def _keys(section: type[BaseModel]) -> Iterator[str]:
    for name, info in section.model_fields.items():
        yield name
        for inner in _sections(info.annotation):
            yield from _keys(inner)


def _sections(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _sections(argument)
