"""The whole configuration of a study."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from tenter.config.cohort import Chunks, Folds, LabelFiles, Name, Pairing, PlanRules
from tenter.config.model import Model
from tenter.config.paths import UserPath
from tenter.config.results import Evaluation, Export, Report, Runtime, Summary, Tracking
from tenter.config.section import Section
from tenter.config.test_time import TestTime

LONGEST = 64
"""Characters of a name."""


class Config(Section):
    """A study: a cohort, the models trained on it, and how they are measured."""

    study: Name
    """Name of the study; its results lie in `<results>/<study>`."""
    manifest: UserPath
    """Table of pairs or of subjects (TSV or CSV), relative to this file."""
    pairing: Pairing = Pairing()
    """Which pairs are made of subjects."""
    data_root: UserPath | None = None
    """Folder (relative to this file) that every file of the manifest must lie in; default: anywhere."""
    results: UserPath = Path("results")
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
    model: UserPath | None = None
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
            message = (
                "nothing registers; "
                "name at least one model under `models`, or the folder of a finished one in `model`"
            )
            raise ValueError(message)
        if self.models and self.model is not None:
            message = "`models` trains, `model` applies a finished one; give one of them"
            raise ValueError(message)
        reference = self.summary.reference
        if reference is not None and reference not in self.registering_names():
            message = (
                f"summary.reference {reference!r} is not a model of this study; "
                f"use one of {', '.join(self.registering_names())}"
            )
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
            message = (
                f"{long[0]!r}, a model's name with a seed or an option, exceeds {LONGEST} characters; "
                "shorten it"
            )
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
                    f"share {pairs} pairs equally; make training.batch over training.accumulate a multiple "
                    f"of {processes}"
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
