"""A study as the workflow uses it: pairs, folds, chunks, models, registrars, settings and code.

The Snakefile creates one in every job of a cluster, so this package must load quickly: it does not
import torch, MLflow or an image library.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

from tenter import addresses, config, files, finished, launching, manifest, provenance, registrars
from tenter.config import Config, PlanRules, custom
from tenter.config.settings import of_stages
from tenter.config.yaml_files import beside
from tenter.errors import InputError
from tenter.finished import FinishedModel
from tenter.manifest.rows import RowFiles
from tenter.records import FINAL, Pair
from tenter.registrars import Registrar
from tenter.study import cohort as study_cohort
from tenter.study import settings as stage_settings
from tenter.study.cohort import StudyCohort

__all__ = ["Study", "StudyCohort"]


class Study:
    """A configuration with its cohort and everything that registers it.

    Args:
        settings: the validated configuration.
        path: its file; relative paths in it are relative to the folder of this file.
        cohort: the cohort, if it has been read already.
    """

    def __init__(self, settings: Config, path: Path, cohort: StudyCohort | None = None) -> None:
        self.config = settings = custom.located(settings, path)
        custom.require(settings)
        self.path = path
        self.cohort = cohort or study_cohort.read(settings, path)
        self.models = settings.expanded_models()

    @classmethod
    def load(cls, path: Path, content: object = None) -> Study:
        """Read a configuration file (or take its `content`, with overrides) and its manifest.

        Raises:
            InputError: with every fault of the configuration or of the manifest.
        """
        return cls(config.read(path) if content is None else config.parse(content, path), path)

    # ---- folders and addresses

    @property
    def manifest(self) -> Path:
        """The table of pairs or subjects."""
        return self.cohort.manifest

    @property
    def results(self) -> Path:
        """Folder of the study's results."""
        return self.config.results / self.config.study

    @property
    def tracking_uri(self) -> str:
        """Address of the tracking server, or of the database in the results."""
        return self.config.tracking.uri or f"sqlite:///{self.results / 'tracking/mlflow.db'}"

    @property
    def experiment(self) -> str:
        """Name of the MLflow experiment."""
        return self.config.tracking.experiment or self.config.study

    def tracking_store(self) -> str:
        """Tracking store as a parameter of `publish`: a new store makes publishing stale."""
        return f"{addresses.shown(self.tracking_uri)} {self.experiment}"

    # ---- pairs, folds and chunks

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs of the cohort."""
        return self.cohort.pairs

    @property
    def chunks(self) -> dict[str, tuple[Pair, ...]]:
        """Chunk to its pairs."""
        return self.cohort.chunks

    @property
    def folds(self) -> list[str]:
        """Names of the cross-validation's folds."""
        return self.cohort.folds

    def trained_folds(self, model: str) -> list[str]:
        """Folds for which a model is trained, with `all` if the configuration requests it."""
        return [*self.folds, *([FINAL] if self.models[model].final else [])]

    def training_chunks(self, fold: str) -> list[str]:
        """Chunks on which a fold's model may be trained: no patients of that fold or `test`."""
        return self.cohort.training_chunks(fold)

    def training_tables(self, fold: str, kind: str) -> list[Path]:
        """Tables of the prepared `images` or `labels` from which a fold's model may learn."""
        tables = self.results / "cases/tables"
        return [tables / f"{chunk}.{kind}.tsv" for chunk in self.training_chunks(fold)]

    def registered_chunks(self) -> list[str]:
        """Chunks whose pairs are registered: those of one fold, and those of set `test`."""
        return self.cohort.registered_chunks()

    def files(self, chunk: str, stage: str) -> list[Path]:
        """The files of a chunk's pairs that a stage reads."""
        return manifest.sources(self.chunks[chunk], manifest.SOURCES[stage])

    @property
    def row_files(self) -> RowFiles:
        """Files with the rows of each chunk's pairs, which jobs read."""
        return RowFiles(self.results / "cohort/rows", self.manifest.parent, self.chunks)

    # ---- what registers

    @functools.cached_property
    def registrars(self) -> dict[str, Registrar]:
        """Whatever registers pairs, by name, in the order of the tables.

        Raises:
            InputError: with every fault of the finished model that is applied, if there is one.
        """
        return registrars.of_study(self.config, self.path, self.applied_model)

    def registered_by(self, rule: str) -> str:
        """Regular expression of the names of the registrars that a rule runs."""
        names = [name for name, registrar in self.registrars.items() if registrar.rule == rule]
        return "|".join(names) or "(?!)"

    def members(self, models: Path, name: str, chunk: str) -> list[Path]:
        """Folders of the finished folds by which a registrar registers a chunk.

        Args:
            models: folder of this study's models, `<model>/fold-<k>/`.
            name: name of the registrar.
            chunk: name of the chunk.
        """
        return self.registrars[name].members(models, self.cohort.testing_folds(chunk))

    def member_folders(self, name: str, chunk: str) -> list[str]:
        """Folders of `members`, where the workflow trains them."""
        return [str(folder) for folder in self.members(self.results / "models", name, chunk)]

    def member_files(self, name: str, chunk: str) -> list[Path]:
        """The descriptions of `members`: they exist when the training is finished."""
        folders = self.members(self.results / "models", name, chunk)
        return [folder / finished.DESCRIPTION for folder in folders]

    def sources(self, name: str, chunk: str) -> list[Path]:
        """The user's files, besides those of the manifest, by which a chunk is registered."""
        return self.registrars[name].sources(self.chunks[chunk])

    def options_of(self, model: str) -> list[str]:
        """Names of the results of a model's test-time options."""
        return [name for name, entry in self.registrars.items() if entry.option_of == model]

    @property
    def applied(self) -> Path | None:
        """Folder of the finished model that registers this cohort, or None."""
        return beside(self.path, self.config.model) if self.config.model else None

    @functools.cached_property
    def applied_model(self) -> FinishedModel | None:
        """The finished model that registers this cohort, or None.

        Raises:
            InputError: with every fault of its folder.
        """
        return None if self.applied is None else finished.load(self.applied, self.path)

    # ---- the plan

    @functools.cached_property
    def plan_rules(self) -> PlanRules:
        """Rules of the plan: those of the configuration, or of the applied model's plan.

        Raises:
            InputError: the model is damaged, or the configuration's `plan` contradicts it.
        """
        if self.applied_model is None:
            return self.config.plan
        faults = finished.conflicts(self.config.plan, self.applied_model, self.path)
        if faults:
            raise InputError(faults)
        return self.applied_model.rules

    def plan_is_current(self, plan: Path) -> bool:
        """Whether a plan was made by the current rules, or is that of the applied model."""
        recorded = provenance.recorded(plan) if plan.is_file() else None
        if recorded is None or recorded["settings"] != json.loads(self.settings("plan")):
            return False
        return self.applied_model is None or finished.is_plan(plan, self.applied_model)

    def model_flags(self) -> list[str]:
        """Flags of `plan` that name an applied model; they change only when its plan does."""
        model = self.applied_model
        values = {"model": model.folder, "model-plan": model.digest} if model else {}
        return launching.flags(values)

    # ---- settings and code of each stage

    def settings(self, stage: str, name: str | None = None) -> str:
        """Canonical JSON of the settings that a stage takes from the configuration.

        Args:
            stage: name of the stage.
            name: the model of a training, or the registrar of a registration.
        """
        if name is None:
            known = self.config, self.plan_rules, self.registrars
            section = stage_settings.of_study(stage, *known)
        elif stage == "train":
            section = stage_settings.of_training(self.models[name], self.config, self.path)
        else:
            section = self.registrars[name].settings
        if section is None:
            message = f"stage {stage} takes no settings"
            raise ValueError(message)
        return files.canonical(section.model_dump(mode="json"))

    def code(self, stage: str, name: str | None = None) -> str:
        """Fingerprint of a stage's code: in a job as planned, otherwise as accepted or as is."""
        planned = provenance.planned_code(stage if name is None else f"{stage}/{name}")
        if planned is not None:
            return planned
        fingerprint = provenance.fingerprint(stage, self.settings(stage, name))
        return provenance.accepted(fingerprint, self.accepted)

    def codes(self) -> dict[str, str]:
        """Fingerprints of the code of stages that have one, by `<stage>` or `<stage>/<name>`."""
        names = [*of_stages(), *(f"train/{model}" for model in self.models)]
        names += [f"{entry.rule}/{name}" for name, entry in self.registrars.items()]
        return {name: self.code(*name.split("/")) for name in names}

    @property
    def accepted(self) -> Path:
        """The file of accepted code changes, beside the configuration."""
        return self.path.with_name(f"{self.path.stem}.accepted.json")

    def accepted_digest(self) -> str:
        """Short fingerprint of the accepted code changes, which the report shows."""
        return files.sha256(self.accepted)[:16] if self.accepted.is_file() else ""
