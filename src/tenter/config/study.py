"""The whole configuration of a study."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from tenter.config.baselines import Baseline
from tenter.config.cohort import Chunks, Folds, LabelFiles, Name, Pairing, PlanRules
from tenter.config.model import Model
from tenter.config.paths import UserPath
from tenter.config.results import Evaluation, Export, Report, Runtime, Summary, Tracking
from tenter.config.section import Section
from tenter.config.test_time import TestTime
from tenter.errors import InvalidValueError

LONGEST = 64
"""Maximum number of characters of a name."""


class Config(Section):
    """A study: a cohort, the models trained on it, baselines, and how all of these are measured."""

    study: Name
    """Name of the study; its results are in `<results>/<study>`."""
    manifest: UserPath
    """Table of pairs or of subjects (TSV or CSV), relative to this file."""
    pairing: Pairing = Pairing()
    """Formation of pairs from subjects."""
    data_root: UserPath | None = None
    """Folder, relative to this file, that must contain every file of the manifest; default: any."""
    results: UserPath = Path("results")
    """Folder of results, relative to the working directory."""
    stratum: str | None = None
    """Manifest column whose values are distributed evenly over folds.

    Default: none; `group` for a manifest of subjects."""
    labels: LabelFiles = LabelFiles()
    """The anatomical labels."""
    plan: PlanRules = PlanRules()
    """Common grid, intensity rule and alignment; with `model` they come from the model."""
    folds: Folds = Folds()
    """Cross-validation."""
    chunks: Chunks = Chunks()
    """Distribution of pairs over jobs."""
    models: Annotated[dict[Name, Model], Field(default_factory=dict)]
    """Models by name; may be empty if `model` or `baselines` are given."""
    model: UserPath | None = None
    """Folder of a finished model with which to register this cohort without training.

    Either `results/<study>/models/<model>` of the study that trained it, or the folder of one fold.
    The plan comes from the model: leave `plan` out."""
    baselines: Annotated[dict[Name, Baseline], Field(default_factory=dict)]
    """Other ways to register by name, measured beside the models: no training, no labels."""
    export: Export = Export()
    """Files written for each pair."""
    evaluation: Evaluation = Evaluation()
    """Measurement of the results."""
    summary: Summary = Summary()
    """Summary of the results over pairs."""
    report: Report = Report()
    """Content of the report."""
    tracking: Tracking = Tracking()
    """MLflow tracking."""
    runtime: Runtime = Runtime()
    """Computing resources."""

    @model_validator(mode="after")
    def _something_registers(self) -> Config:
        if not self.models and self.model is None and not self.baselines:
            message = "there is no model to register with"
            fix = (
                "name at least one model under `models`, the folder of a finished one in `model`, "
                "or a method under `baselines`"
            )
            raise InvalidValueError(message, fix)
        if self.models and self.model is not None:
            message = "`models` trains, `model` applies a finished one"
            raise InvalidValueError(message, "give one of them")
        reference = self.summary.reference
        if reference is not None and reference not in self.registering_names():
            message = f"summary.reference {reference!r} is not a model or baseline of this study"
            raise InvalidValueError(message, f"use one of {', '.join(self.registering_names())}")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Config:
        counts = Counter(self.registering_names())
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            message = (
                f"{twice[0]!r} would be the name of several: a model, a further seed "
                "`<model>-seed<k>`, a test-time option `<model>-<option>` or a baseline"
            )
            raise InvalidValueError(message, "rename one")
        long = [name for name in counts if len(name) > LONGEST]
        if long:
            message = (
                f"{long[0]!r}, a model's name with a seed or an option, exceeds {LONGEST} "
                "characters"
            )
            raise InvalidValueError(message, "shorten it")
        return self

    @model_validator(mode="after")
    def _processes_share_batches(self) -> Config:
        processes = self.runtime.devices * self.runtime.nodes
        for name, model in self.models.items():
            pairs = model.training.batch // model.training.accumulate
            if pairs % processes:
                message = (
                    f"models.{name}: {processes} processes (runtime.devices times runtime.nodes) "
                    f"cannot share {pairs} pairs equally"
                )
                fix = f"make training.batch over training.accumulate a multiple of {processes}"
                raise InvalidValueError(message, fix)
        return self

    def seed_names(self, model: str) -> list[str]:
        """Names of a model's seeds: the model's own name, and `<name>-seed<k>` for the others."""
        _, *further = self.models[model].seeds
        return [model, *(f"{model}-seed{seed}" for seed in further)]

    def expanded_models(self) -> dict[str, Model]:
        """The models to be trained, each with a single seed, by name."""
        return {
            name: model.model_copy(update={"seeds": (seed,)})
            for key, model in self.models.items()
            for name, seed in zip(self.seed_names(key), model.seeds, strict=True)
        }

    def options(self) -> dict[str, tuple[str, TestTime]]:
        """Test-time options by the name of their results: name of the model, and the option."""
        return {
            f"{name}-{option}": (name, chosen)
            for name, model in self.models.items()
            for option, chosen in model.test_time.items()
        }

    def registering_names(self) -> list[str]:
        """Names of whatever registers: models with their seeds and test-time options, baselines."""
        names = [] if self.model is None else [self.model.name]
        for name, model in self.models.items():
            names += [*self.seed_names(name), *(f"{name}-{option}" for option in model.test_time)]
        return [*names, *self.baselines]
