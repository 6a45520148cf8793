"""The settings that each stage of a study takes from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tenter import config
from tenter.config import Config, Evaluation, Model, PlanRules, Section
from tenter.config.settings import of_stages
from tenter.config.yaml_files import beside
from tenter.registrars import Registrar


def of_study(
    stage: str, settings: Config, plan: PlanRules, registrars: Mapping[str, Registrar]
) -> Section | None:
    """The settings of a stage that does the same for all models and baselines; None for others.

    Args:
        stage: its name.
        settings: the configuration.
        plan: rules of the plan.
        registrars: by name.
    """
    if stage == "plan":
        return plan
    section = of_stages().get(stage)
    if section is None:
        return None
    known = values(settings, registrars) | {"plan": plan}
    return section.model_validate({name: known[name] for name in section.model_fields})


def values(settings: Config, registrars: Mapping[str, Registrar]) -> dict[str, object]:
    """What the settings of a stage may hold, by name: sections of the configuration, and more.

    Args:
        settings: the configuration.
        registrars: by name; their names are the `models` of the results.
    """
    return dict(settings) | {
        "warped_labels": settings.export.warped_labels,
        "mapped_points": settings.export.points,
        "models": tuple(registrars),
        "options": tuple(
            (registrar.name, registrar.option_of)
            for registrar in registrars.values()
            if registrar.option_of is not None
        ),
        "baselines": tuple(name for name, entry in registrars.items() if not entry.has_networks),
        **_of_metrics(settings.evaluation),
    }


def _of_metrics(evaluation: Evaluation) -> dict[str, object]:
    """What each stage needs of custom metrics: only the report gets their wording."""
    metrics = evaluation.metrics
    measured = tuple(metric.measured for metric in metrics)
    return {
        "evaluation": evaluation.model_copy(update={"metrics": measured}),
        "custom_metrics": tuple(metric.definition(wording=False) for metric in metrics),
        "shown_metrics": tuple(metric.definition(wording=True) for metric in metrics),
    }


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
