"""The settings that each stage of a study takes from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tenter import config
from tenter.config import Config, Model, PlanRules, Section
from tenter.config.yaml_files import beside
from tenter.registrars import Registrar


def of_cohort(stage: str, settings: Config, plan: PlanRules) -> Section | None:
    """The settings of a stage that prepares or measures the cohort; None for another stage.

    Args:
        stage: its name.
        settings: the configuration.
        plan: rules of the plan.
    """
    match stage:
        case "plan":
            return plan
        case "prepare_images":
            return config.ImageSettings(plan=plan)
        case "prepare_labels":
            return config.LabelSettings(labels=settings.labels)
        case "evaluate":
            return config.EvaluateSettings(
                labels=settings.labels,
                evaluation=settings.evaluation,
                warped_labels=settings.export.warped_labels,
                mapped_points=settings.export.points,
            )
        case _:
            return None


def of_results(stage: str, settings: Config, registrars: Mapping[str, Registrar]) -> Section | None:
    """The settings of a stage that works on the results of all registrars; None for another stage.

    Args:
        stage: its name.
        settings: the configuration.
        registrars: by name.
    """
    match stage:
        case "summarise":
            return config.SummariseSettings(summary=settings.summary, models=tuple(registrars))
        case "report":
            options = [
                (registrar.name, registrar.option_of)
                for registrar in registrars.values()
                if registrar.option_of is not None
            ]
            return config.ReportSettings(
                study=settings.study,
                report=settings.report,
                labels=settings.labels,
                models=tuple(registrars),
                options=tuple(options),
                baselines=tuple(n for n, entry in registrars.items() if not entry.has_networks),
            )
        case _:
            return None


def of_training(model: Model, settings: Config, path: Path) -> config.TrainSettings:
    """The settings of a model's training.

    Args:
        model: the model, with a single seed.
        settings: the configuration.
        path: its file.
    """
    return config.TrainSettings(
        network=model.network,
        losses=model.losses,
        augmentation=model.augmentation,
        validation=model.validation,
        training=model.training,
        seed=model.seeds[0],
        warm_start=beside(path, model.warm_start) if model.warm_start else None,
        twins=settings.labels.twins if model.augmentation.mirror else (),
    )
