"""The settings that each stage takes from the configuration, and no others.

They are passed to the stage's job as canonical JSON. A change of them makes the stage
stale, a change of other settings does not; so the `runtime` section is not part of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from tenter.config.baselines import Baseline
from tenter.config.cohort import LabelFiles, PlanRules
from tenter.config.losses import Losses
from tenter.config.metrics import MetricDefinition
from tenter.config.model import Augmentation, Training, Validation
from tenter.config.networks import Network
from tenter.config.results import Evaluation, RegistrationExport, Report, Summary
from tenter.config.section import Section
from tenter.config.test_time import TestTime


class StudySettings(Section):
    """Base class of the settings of a stage that does the same for all models and baselines.

    Its fields are named as sections of the configuration, or as other values of the study
    (`study.settings.values`), and are filled with these.

    Attributes:
        stage: name of the stage.
    """

    stage: ClassVar[str]


class ImageSettings(StudySettings):
    """Settings of `prepare_images`."""

    stage: ClassVar = "prepare_images"

    plan: PlanRules
    """Rules of the plan; a changed rule repeats the preparation."""


class LabelSettings(StudySettings):
    """Settings of `prepare_labels`."""

    stage: ClassVar = "prepare_labels"

    labels: LabelFiles
    """How label files are read."""


class TrainSettings(Section):
    """Settings of `train`."""

    network: Network
    """The network."""
    losses: Losses
    """Loss terms."""
    augmentation: Augmentation
    """Random changes of the training data."""
    validation: Validation
    """Validation."""
    training: Training
    """Optimisation."""
    seed: int
    """Seed of the initial weights and of all random draws."""
    warm_start: Path | None
    """Folder of the model with the initial weights."""
    twins: tuple[tuple[str, str], ...] = ()
    """Pairs of labels that are mirror images of each other; empty without mirroring."""


class InferSettings(Section):
    """Settings of `infer`."""

    network: Network | None
    """The network that the model holds; None where a finished study's model is applied."""
    export: RegistrationExport
    """Files written for each pair."""
    test_time: TestTime | None = None
    """Test-time option, applied on top of the network's prediction; None: none."""


class BaselineSettings(Section):
    """Settings of `baseline`."""

    baseline: Baseline
    """The method, with its own settings."""
    export: RegistrationExport
    """Files written for each pair."""


class EvaluateSettings(StudySettings):
    """Settings of `evaluate`."""

    stage: ClassVar = "evaluate"

    labels: LabelFiles
    """How label files are read."""
    evaluation: Evaluation
    """Metrics to measure."""
    warped_labels: bool
    """Whether to write warped labels."""
    mapped_points: bool
    """Whether to write fixed points mapped into the moving image."""


class SummariseSettings(StudySettings):
    """Settings of `summarise`."""

    stage: ClassVar = "summarise"

    summary: Summary
    """Summary over pairs."""
    models: tuple[str, ...]
    """Models in the order of the configuration."""
    custom_metrics: tuple[MetricDefinition, ...] = ()
    """Metrics of the study's own code."""


class ReportSettings(StudySettings):
    """Settings of `report`."""

    stage: ClassVar = "report"

    study: str
    """Name of the study."""
    report: Report
    """Content of the report."""
    labels: LabelFiles
    """Names and roles of labels."""
    models: tuple[str, ...]
    """Models in the order of the configuration."""
    options: tuple[tuple[str, str], ...] = ()
    """Test-time options among the models: name of the option, name of its model."""
    baselines: tuple[str, ...] = ()
    """Names among the models that stand for methods without a network."""
    shown_metrics: tuple[MetricDefinition, ...] = ()
    """Metrics of the study's own code."""


def of_stages() -> dict[str, type[StudySettings]]:
    """The settings of each stage that does the same for all models and baselines, by its name."""
    return {section.stage: section for section in StudySettings.__subclasses__()}
