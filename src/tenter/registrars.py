"""Whatever registers pairs, as one type: its rule, its settings, and the models and files it reads.

A registrar is a trained model with one of its seeds, a test-time option of a model, a finished
model of another study, or a baseline. The workflow, its tools and the report ask registrars what
they need and never which kind one is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tenter import finished
from tenter.config import (
    BaselineSettings,
    Config,
    InferSettings,
    RegistrationExport,
    Section,
    baselines,
)
from tenter.finished import FinishedModel
from tenter.manifest import files_behind
from tenter.records import Pair

Rule = Literal["infer", "baseline"]
"""Rule, and stage, that runs a registrar: by networks, or by a method without any."""

RULES: tuple[Rule, ...] = ("infer", "baseline")


def _none(_: str) -> tuple[Path, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Registrar:
    """What registers pairs under one name.

    Attributes:
        name: name of its results, as in `fields/<name>` and in the tables.
        rule: the rule of its jobs.
        settings: what its jobs take from the configuration.
        trained: models of this study that it needs; their folds register together.
        finished: folders of finished folds of another study, which register together.
        paths: the user's files that it reads to register a pair, by the pair's id.
        option_of: the model whose test-time option it is, or None.
    """

    name: str
    rule: Rule
    settings: Section
    trained: tuple[str, ...] = ()
    finished: tuple[Path, ...] = ()
    paths: Callable[[str], tuple[Path, ...]] = _none
    option_of: str | None = None

    @property
    def has_networks(self) -> bool:
        """Whether networks register the pairs."""
        return bool(self.trained or self.finished)

    def members(self, models: Path, folds: Sequence[str]) -> list[Path]:
        """Folders of the finished folds that register together; none without networks.

        Args:
            models: folder of this study's models, `<model>/fold-<k>/`.
            folds: folds whose models may register the pairs.
        """
        trained = [models / name / f"fold-{fold}" for name in self.trained for fold in folds]
        return [*self.finished, *trained]

    def sources(self, pairs: Iterable[Pair]) -> list[Path]:
        """The user's files that it reads to register these pairs, each once."""
        named = dict.fromkeys(path for pair in pairs for path in self.paths(pair.id))
        return list(dict.fromkeys(file for path in named for file in files_behind(path)))


def of_study(settings: Config, path: Path, applied: FinishedModel | None) -> dict[str, Registrar]:
    """The registrars of a study by name, in the order of its tables.

    Args:
        settings: the configuration.
        path: its file.
        applied: the finished model of another study that `model` names, or None.

    Raises:
        InputError: the finished model has no folds.
    """
    names = RegistrationExport.model_fields
    values = {name: getattr(settings.export, name) for name in names}
    export = RegistrationExport.model_validate(values)
    registrars = [
        *_applied(applied, path, export),
        *_trained(settings, export),
        *_baselines(settings, path, export),
    ]
    return {registrar.name: registrar for registrar in registrars}


def _applied(
    model: FinishedModel | None, path: Path, export: RegistrationExport
) -> Iterator[Registrar]:
    if model is not None:
        yield Registrar(
            name=model.folder.name,
            rule="infer",
            settings=InferSettings(network=model.folds[0].beside(path), export=export),
            finished=finished.members(model.folder),
        )


def _trained(settings: Config, export: RegistrationExport) -> Iterator[Registrar]:
    """Each model with its seeds, followed by its test-time options."""
    for name, model in settings.models.items():
        seeds = settings.seed_names(name)
        plain = InferSettings(network=model.network, export=export)
        for seed in seeds:
            yield Registrar(name=seed, rule="infer", settings=plain, trained=(seed,))
        for key, option in model.test_time.items():
            yield Registrar(
                name=f"{name}-{key}",
                rule="infer",
                settings=InferSettings(network=model.network, export=export, test_time=option),
                trained=tuple(seeds) if option.ensemble else (name,),
                option_of=name,
            )


def _baselines(settings: Config, path: Path, export: RegistrationExport) -> Iterator[Registrar]:
    for name, baseline in settings.baselines.items():
        method = baselines.relative_to(path, baseline)
        yield Registrar(
            name=name,
            rule="baseline",
            settings=BaselineSettings(baseline=baselines.as_written(method), export=export),
            paths=method.files,
        )
