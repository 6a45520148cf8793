"""The jobs of a study as the workflow runs them, with their inputs, outputs and settings.

The rules in `workflow/rules` declare the same to Snakemake; `tests/workflow/test_staleness.py`
compares both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tenter import finished, manifest, registrars
from tenter.records import Pair
from tenter.registrars import Registrar
from tenter.result_files import CHALLENGES, COMPARISON, METRICS, REPORT, SUMMARY
from tenter.study import Study

MODEL_FILES = (finished.WEIGHTS, finished.DESCRIPTION, finished.HISTORY)
TABLES = (METRICS, SUMMARY, COMPARISON, CHALLENGES)
INTERMEDIATE = {"plan", "prepare_images", "prepare_labels"}
"""Stages whose outputs may be deleted after a study; only stale jobs need them again."""

INPUT_FLAGS = {
    "prepare_labels": ("images",),
    "train": ("images", "labels"),
    "infer": ("images", "models"),
    "baseline": ("images", "sources"),
    "evaluate": ("fields",),
    "summarise": ("metrics",),
    "report": ("metrics", "summary", "comparison", "challenges"),
}
"""Flags of a stage that name inputs which are verified before it runs, by their provenance."""

OUTPUT_FLAGS = {"summarise": ("summary", "comparison", "challenges")}
"""Flags that name outputs besides `output` or `table`."""

FOLDER_FLAGS = {"warped_labels": ".nii.gz", "mapped_points": ".tsv"}
"""Flags that name folders of further files, one per pair, with the suffix of these files."""


@dataclass(frozen=True, slots=True)
class Step:
    """One job.

    Attributes:
        name: its rule and wildcards, such as `train mine 0`.
        stage: its rule.
        model: name of the model or registrar, or None.
        outputs: its outputs as declared to Snakemake.
        provenance: the file or folder whose provenance is recorded; None for no record.
        inputs: what it reads besides the files of the manifest and the plan.
        pairs: pairs that it processes.
    """

    name: str
    stage: str
    model: str | None
    outputs: tuple[Path, ...]
    provenance: Path | None
    inputs: tuple[Path, ...] = ()
    pairs: tuple[Pair, ...] = ()

    @property
    def settings_of(self) -> tuple[str, str | None]:
        """Arguments of `Study.settings` and `Study.code`: stage, and model if it matters."""
        return self.stage, self.model if self.stage in {"train", *registrars.RULES} else None

    def sources(self) -> list[Path]:
        """Files named in the manifest that it reads."""
        return manifest.sources(self.pairs, manifest.SOURCES.get(self.stage, ()))


def steps(study: Study) -> dict[str, Step]:
    """Every job of a study by its name, in order of dependency."""
    return {step.name: step for step in _Steps(study).all()}


def products(study: Study) -> list[Path]:
    """The outputs of a finished study, except intermediate ones: the inputs of `rule all`."""
    final = (step for step in steps(study).values() if step.stage not in INTERMEDIATE)
    return [path for step in final for path in step.outputs]


def cases(study: Study) -> list[Path]:
    """The tables of prepared cases: the inputs of `rule cases`."""
    preparations = (
        step for step in steps(study).values() if step.stage in {"prepare_images", "prepare_labels"}
    )
    return [path for step in preparations for path in step.outputs]


class _Steps:
    def __init__(self, study: Study) -> None:
        self.study = study
        self.root = study.results

    def all(self) -> Iterator[Step]:
        plan = self.root / "cohort/plan.json"
        yield Step("plan", "plan", None, (plan,), plan)
        folds = {fold for model in self.study.models for fold in self.study.trained_folds(model)}
        taught = {chunk for fold in folds for chunk in self.study.cohort.training_chunks(fold)}
        for chunk in self.study.cohort.chunks:
            yield from self._prepared(chunk, labelled=chunk in taught)
        for model in self.study.models:
            for fold in self.study.trained_folds(model):
                yield self._training(model, fold)
        for registrar in self.study.registrars.values():
            for chunk in self.study.cohort.registered_chunks():
                yield from self._registered(registrar, chunk)
        yield from self._closing()

    def _prepared(self, chunk: str, *, labelled: bool) -> Iterator[Step]:
        pairs = self.study.cohort.chunks[chunk]
        images, labels = (
            self.root / f"cases/tables/{chunk}.{kind}.tsv" for kind in ("images", "labels")
        )
        yield Step(f"prepare_images {chunk}", "prepare_images", None, (images,), images, (), pairs)
        if labelled:  # only training reads prepared labels
            yield Step(
                f"prepare_labels {chunk}",
                "prepare_labels",
                None,
                (labels,),
                labels,
                (images,),
                pairs,
            )

    def _training(self, model: str, fold: str) -> Step:
        folder = self.root / f"models/{model}/fold-{fold}"
        read = tuple(
            path for kind in ("images", "labels") for path in self.study.training_tables(fold, kind)
        )
        written = tuple(folder / name for name in MODEL_FILES)
        return Step(f"train {model} {fold}", "train", model, written, folder, read)

    def _registered(self, registrar: Registrar, chunk: str) -> Iterator[Step]:
        pairs, name, rule = self.study.cohort.chunks[chunk], registrar.name, registrar.rule
        fields = self.root / f"fields/tables/{name}/{chunk}.tsv"
        figures = self.root / f"metrics/{name}/{chunk}.tsv"
        folders = self.study.members(self.root / "models", name, chunk)
        read = (
            self.root / f"cases/tables/{chunk}.images.tsv",
            *(path / finished.DESCRIPTION for path in folders),
            *registrar.sources(pairs),
        )
        yield Step(f"{rule} {name} {chunk}", rule, name, (fields,), fields, read, pairs)
        yield Step(
            f"evaluate {name} {chunk}", "evaluate", name, (figures,), figures, (fields,), pairs
        )

    def _closing(self) -> Iterator[Step]:
        study, tables = self.study, tuple(self.root / name for name in TABLES)
        figures = tuple(
            self.root / f"metrics/{name}/{chunk}.tsv"
            for name in study.registrars
            for chunk in study.cohort.registered_chunks()
        )
        yield Step("summarise", "summarise", None, tables, tables[0], figures)
        folders = {
            model: [
                self.root / f"models/{model}/fold-{fold}" for fold in study.trained_folds(model)
            ]
            for model in study.models
        }
        histories = tuple(
            folder / finished.HISTORY
            for model_folders in folders.values()
            for folder in model_folders
        )
        page = self.root / REPORT
        yield Step("report", "report", None, (page,), page, (*tables, *histories))
        for model, model_folders in folders.items():
            read = (*tables[:3], page, *(folder / finished.DESCRIPTION for folder in model_folders))
            receipt = self.root / f"tracking/{model}.txt"
            yield Step(f"publish {model}", "publish", model, (receipt,), None, read)
