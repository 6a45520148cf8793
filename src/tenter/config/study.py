"""The whole configuration: `Config`, and how it is read from YAML."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from tenter.config import yaml_files
from tenter.config.cohort import Chunks, Folds, LabelFiles, Name, Pairing, PlanRules
from tenter.config.model import Model
from tenter.config.results import Evaluation, Export, Report, Runtime, Summary, Tracking
from tenter.config.section import Section
from tenter.config.test_time import TestTime
from tenter.errors import InputError
from tenter.records import Fault

LARGEST = 100_000
"""Values above which a configuration is none."""

LONGEST = 64
"""Characters of a name."""

S = TypeVar("S", bound=Section)


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
    """Overrides of the common grid, intensity rule and alignment; with `model` they are the model's."""
    folds: Folds = Folds()
    """Cross-validation."""
    chunks: Chunks = Chunks()
    """Size of jobs."""
    models: Annotated[dict[Name, Model], Field(default_factory=dict)]
    """Models by name; empty only where `model` is given."""
    model: Path | None = None
    """Folder of a finished model that registers this cohort without training.

    It is `results/<study>/models/<model>` of the study that trained it, or one fold's folder. The plan
    comes from the model: leave `plan` out."""
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
        if reference is not None and reference not in self.registering_names():
            message = f"summary.reference {reference!r} is no model of this study"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Config:
        counts = Counter(self.registering_names())
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            message = (
                f"{twice[0]!r} would be the name of several: a model, a further seed `<model>-seed<k>` or a "
                "test-time option `<model>-<option>`; rename one"
            )
            raise ValueError(message)
        long = [name for name in counts if len(name) > LONGEST]
        if long:
            message = f"{long[0]!r}, a model's name with a seed or an option, exceeds {LONGEST} characters"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _processes_share_batches(self) -> Config:
        processes = self.runtime.devices * self.runtime.nodes
        for name, model in self.models.items():
            pairs = model.training.batch // model.training.accumulate
            if pairs % processes:
                message = (
                    f"models.{name}: {processes} processes (runtime.devices times runtime.nodes) cannot "
                    f"share {pairs} pairs equally (training.batch over training.accumulate)"
                )
                raise ValueError(message)
        return self

    def seed_names(self, model: str) -> list[str]:
        """Names under which a model's seeds are trained: its own, and `<name>-seed<k>` of repeats."""
        _, *more = self.models[model].seeds
        return [model, *(f"{model}-seed{seed}" for seed in more)]

    def expanded_models(self) -> dict[str, Model]:
        """Models with one seed each, as they are trained."""
        return {
            name: model.model_copy(update={"seeds": (seed,)})
            for key, model in self.models.items()
            for name, seed in zip(self.seed_names(key), model.seeds, strict=True)
        }

    def options(self) -> dict[str, tuple[str, TestTime]]:
        """Test-time options by the name they register under: the model's name, and what is done."""
        return {
            f"{name}-{option}": (name, chosen)
            for name, model in self.models.items()
            for option, chosen in model.test_time.items()
        }

    def registering_names(self) -> list[str]:
        """Names of all that registers: each model with its repeats, then its test-time options."""
        names = []
        for name, model in self.models.items():
            names += [*self.seed_names(name), *(f"{name}-{option}" for option in model.test_time)]
        return names


def read(path: Path) -> Config:
    """Read and validate a configuration file.

    Raises:
        InputError: with every fault in it, each with key, what is wrong and how to mend it.
    """
    return parse(yaml_files.read(path), path)


def read_test_time(path: Path) -> TestTime:
    """Read and validate a file of one test-time option, as it stands below an option's name in a study.

    Raises:
        InputError: with every fault in it.
    """
    return parse_test_time(yaml_files.read(path), path)


def parse_test_time(content: object, path: Path = Path("test_time")) -> TestTime:
    """Validate the content of such a file; `path` names it in errors.

    Raises:
        InputError: with every fault in it.
    """
    return _validated(TestTime, content, path)


def parse(content: object, path: Path) -> Config:
    """Validate the content of a configuration file; `path` names it in errors.

    Raises:
        InputError: with every fault in it.
    """
    return _validated(Config, content, path)


def _validated(section: type[S], content: object, path: Path) -> S:
    if not isinstance(content, dict):
        fault = Fault(str(path), "is no mapping of keys to values", "see config/README.md for the keys")
        raise InputError([fault])
    if _entries(content, {}) > LARGEST:
        fault = Fault(str(path), "holds too many values, or an alias of itself", "write it without aliases")
        raise InputError([fault])
    try:
        return section.model_validate(_numbers(content))
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
