"""The typed configuration: every key with its type, unit, default and meaning."""

from tenter.config.cohort import Chunks, Folds, LabelFiles, NamedLabel, PlanRules
from tenter.config.model import (
    Augmentation,
    CompositeNetwork,
    GlobalNetwork,
    LabelLoss,
    LocalNetwork,
    Losses,
    Model,
    Network,
    Regulariser,
    Training,
    UNetNetwork,
    Validation,
)
from tenter.config.results import Evaluation, Export, RegistrationExport, Report, Runtime, Summary, Tracking
from tenter.config.section import Section
from tenter.config.settings import (
    EvaluateSettings,
    ImageSettings,
    InferSettings,
    LabelSettings,
    ReportSettings,
    SummariseSettings,
    TrainSettings,
)
from tenter.config.study import Config, parse, read

__all__ = [
    "Augmentation",
    "Chunks",
    "CompositeNetwork",
    "Config",
    "EvaluateSettings",
    "Evaluation",
    "Export",
    "Folds",
    "GlobalNetwork",
    "ImageSettings",
    "InferSettings",
    "LabelFiles",
    "LabelLoss",
    "LabelSettings",
    "LocalNetwork",
    "Losses",
    "Model",
    "NamedLabel",
    "Network",
    "PlanRules",
    "RegistrationExport",
    "Regulariser",
    "Report",
    "ReportSettings",
    "Runtime",
    "Section",
    "SummariseSettings",
    "Summary",
    "Tracking",
    "TrainSettings",
    "Training",
    "UNetNetwork",
    "Validation",
    "parse",
    "read",
]
