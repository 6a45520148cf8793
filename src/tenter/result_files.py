"""The files of a finished study by name, for the rooms that show and mirror results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tenter import finished

METRICS, SUMMARY, COMPARISON = "metrics.tsv", "summary.tsv", "comparison.tsv"
CHALLENGES, REPORT = "challenges.tsv", "report.html"
TRANSFORM, SIDECAR = "transform.h5", "infer.json"
"""The map of a registered pair, and the record of how it was made."""

BEFORE_FIRST_JOB = "the workflow, before the first job"
"""Maker of the files that no command writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file behind the report.

    Attributes:
        path: the file.
        made_by: the command that wrote it.
    """

    path: Path
    made_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFiles:
    """Where the results of a study are.

    Attributes:
        metrics: table of all metrics.
        summary: table of distributions.
        comparison: table of models against the reference.
        challenges: table of the cohort's results by the rules of challenges.
        plan: plan of the cohort.
        folds: table of patients and folds; None if a finished model was applied.
        cases: folder of prepared cases, by pair.
        fields: folder of transforms, by model and pair.
        models: folder of trained models, by model and fold.
        report: the page that shows them.
    """

    metrics: Path
    summary: Path
    comparison: Path
    challenges: Path
    plan: Path
    folds: Path | None
    cases: Path
    fields: Path
    models: Path
    report: Path

    @classmethod
    def of(cls, root: Path) -> ResultFiles:
        """The files of a study whose results are in `root`."""
        folds = root / "cohort" / "folds.tsv"
        return cls(
            metrics=root / METRICS,
            summary=root / SUMMARY,
            comparison=root / COMPARISON,
            challenges=root / CHALLENGES,
            plan=root / "cohort" / "plan.json",
            folds=folds if folds.is_file() else None,
            cases=root / "cases",
            fields=root / "fields",
            models=root / "models",
            report=root / REPORT,
        )

    def case(self, pair: str) -> Path:
        """The folder of a prepared pair."""
        return self.cases / pair

    def transform(self, model: str, pair: str) -> Path:
        """The transform of a registered pair."""
        return self.fields / model / pair / TRANSFORM

    def sidecar(self, model: str, pair: str) -> Path:
        """The record of how a pair was registered."""
        return self.fields / model / pair / SIDECAR

    def trained(self, model: str, fold: str) -> Path:
        """The folder of a trained network."""
        return self.models / model / f"fold-{fold}"

    def histories(self, model: str) -> dict[str, Path]:
        """The existing training histories of a model, by fold."""
        paths = self.models.joinpath(model).glob(f"fold-*/{finished.HISTORY}")
        ordered = sorted(paths, key=lambda path: (len(path.parent.name), path))
        return {_fold(path): path for path in ordered}

    def descriptions(self, model: str) -> dict[str, Path]:
        """The existing descriptions of a model's trained networks, by fold."""
        paths = self.models.joinpath(model).glob(f"fold-*/{finished.DESCRIPTION}")
        return {_fold(path): path for path in sorted(paths)}

    def tables(self) -> tuple[Path, ...]:
        """The tables of figures that the report is written from."""
        return (self.metrics, self.summary, self.comparison)

    def sources(self) -> tuple[Source, ...]:
        """The files that the report is written from, with what made each."""
        sources = [Source(path=path, made_by="tenter summarise") for path in self.tables()]
        sources.append(Source(path=self.plan, made_by="tenter plan"))
        if self.folds is not None:
            sources.append(Source(path=self.folds, made_by=BEFORE_FIRST_JOB))
        return tuple(sources)


def _fold(path: Path) -> str:
    return path.parent.name.removeprefix("fold-")
