"""A study as the workflow uses it: pairs, folds, chunks, models, registrars, settings and code.

The Snakefile creates one in every job of a cluster, so this package must load quickly: it does not
import torch, MLflow or an image library.
"""

from __future__ import annotations

import functools
from pathlib import Path

from tenter import config, files, finished, registrars
from tenter.config import Config, custom
from tenter.config.yaml_files import beside
from tenter.finished import FinishedModel
from tenter.manifest.rows import RowFiles
from tenter.records import FINAL
from tenter.registrars import Registrar
from tenter.study import cohort as study_cohort
from tenter.study import settings as stage_settings
from tenter.study import staleness
from tenter.study.cohort import StudyCohort
from tenter.study.plan import StudyPlan
from tenter.study.tracking_store import TrackingStore

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

    @property
    def results(self) -> Path:
        """Folder of the study's results."""
        return self.config.results / self.config.study

    @property
    def tracking(self) -> TrackingStore:
        """Where runs are mirrored."""
        return TrackingStore.of(self.config, self.results)

    def trained_folds(self, model: str) -> list[str]:
        """Folds for which a model is trained, with `all` if the configuration requests it."""
        return [*self.cohort.folds, *([FINAL] if self.models[model].final else [])]

    def training_tables(self, fold: str, kind: str) -> list[Path]:
        """Tables of the prepared `images` or `labels` from which a fold's model may learn."""
        tables = self.results / "cases/tables"
        return [tables / f"{chunk}.{kind}.tsv" for chunk in self.cohort.training_chunks(fold)]

    @property
    def row_files(self) -> RowFiles:
        """Files with the rows of each chunk's pairs, which jobs read."""
        return RowFiles(
            self.results / "cohort/rows", self.cohort.manifest.parent, self.cohort.chunks
        )

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

    @functools.cached_property
    def plan(self) -> StudyPlan:
        """The plan that this study needs.

        Raises:
            InputError: with every fault of the applied model's folder.
        """
        return StudyPlan(self.config, self.path, self.applied_model)

    def settings(self, stage: str, name: str | None = None) -> str:
        """Canonical JSON of the settings that a stage takes from the configuration.

        Args:
            stage: name of the stage.
            name: the model of a training, or the registrar of a registration.
        """
        if name is None:
            known = self.config, self.plan.rules, self.registrars
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
        return staleness.code(stage, name, self.settings(stage, name), self.accepted)

    @property
    def accepted(self) -> Path:
        """The file of accepted code changes, beside the configuration."""
        return staleness.accepted_file(self.path)

    def accepted_digest(self) -> str:
        """Short fingerprint of the accepted code changes, which the report shows."""
        return staleness.digest(self.accepted)
