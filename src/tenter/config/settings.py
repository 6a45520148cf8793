"""What each stage reads of the configuration, and nothing else.

A stage's settings travel to its job as canonical JSON; a change in them, and only in
them, makes the stage stale. What decides where or how fast work runs is not in them.
"""

from __future__ import annotations

from pathlib import Path

from tenter.config.cohort import LabelFiles, PlanRules
from tenter.config.losses import Losses
from tenter.config.model import Augmentation, Training, Validation
from tenter.config.networks import Network
from tenter.config.results import Evaluation, RegistrationExport, Report, Summary
from tenter.config.section import Section
from tenter.config.test_time import TestTime


class ImageSettings(Section):
    """Settings of `prepare_images`."""

    plan: PlanRules
    """What shaped the plan; renewed preparation follows a changed rule."""


class LabelSettings(Section):
    """Settings of `prepare_labels`."""

    labels: LabelFiles
    """How label files are read."""


class TrainSettings(Section):
    """Settings of `train`."""

    network: Network
    """The network."""
    losses: Losses
    """What is minimised."""
    augmentation: Augmentation
    """What is changed at random in the training data."""
    validation: Validation
    """What is watched."""
    training: Training
    """How the loss is minimised."""
    seed: int
    """Seed of initial weights and of all draws."""
    warm_start: Path | None
    """Folder of the model whose weights training starts from."""
    twins: tuple[tuple[str, str], ...] = ()
    """Labels that are each other's mirror image; none where nothing is mirrored."""


class InferSettings(Section):
    """Settings of `infer`."""

    network: Network | None
    """The network that the model holds; None where a finished study's model is applied."""
    export: RegistrationExport
    """Files written for each pair."""
    test_time: TestTime | None = None
    """What is done beyond the network's answer; None where that is all."""


class EvaluateSettings(Section):
    """Settings of `evaluate`."""

    labels: LabelFiles
    """How label files are read."""
    evaluation: Evaluation
    """How results are measured."""
    warped_labels: bool
    """Whether warped labels are written."""
    mapped_points: bool
    """Whether fixed points are written where the moving image shows them."""


class SummariseSettings(Section):
    """Settings of `summarise`."""

    summary: Summary
    """How results are summarised."""
    models: tuple[str, ...]
    """Models in the order of the configuration."""


class ReportSettings(Section):
    """Settings of `report`."""

    study: str
    """Name of the study."""
    report: Report
    """What is shown."""
    labels: LabelFiles
    """Names and roles of labels."""
    models: tuple[str, ...]
    """Models in the order of the configuration."""
    options: tuple[tuple[str, str], ...] = ()
    """Test-time options among the models: each one's name, and that of the model it registers by."""
