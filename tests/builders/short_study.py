"""Short studies: a small simulated cohort, and one fold of a real study on it,
through the real stages.
"""

from __future__ import annotations

import functools
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from builders.row_files import row_file
from tenter import finished
from tenter.config import (
    EvaluateSettings,
    ImageSettings,
    InferSettings,
    LabelSettings,
    TrainSettings,
)
from tenter.history import read_history
from tenter.measurement import metric_tables
from tenter.records import MetricRow, Pair
from tenter.stages.evaluate import evaluate
from tenter.stages.infer import infer
from tenter.stages.plan import plan
from tenter.stages.prepare_images import prepare_images
from tenter.stages.prepare_labels import prepare_labels
from tenter.stages.train import train
from tenter.study import Study

Model = Mapping[str, Any]
"""A model as a configuration has it."""

FOLD = "0"
"""The fold whose patients the model does not see: TRE is theirs."""

SPACING_MM, SHAPE = 5.0, (18, 18, 18)

STUDY: dict[str, Any] = {
    "study": "short",
    "labels": {
        "format": "stack",
        "names": [
            {"name": "gland", "key": 0, "role": "structure"},
            {"name": "bladder", "key": 1, "role": "structure"},
        ],
    },
    "plan": {
        "spacing_mm": SPACING_MM,
        "shape": SHAPE,
        "alignment": "centre",
        "intensity": "percentile",
    },
    "folds": {"count": 4},
    "export": {"field": False, "warped_image": False, "points": False},
    "evaluation": {"surface_metrics": False},
}

STILL = {"steps": 4, "learning_rate": 1e-12, "schedule": "constant", "warmup": 0}
"""A training that leaves its weights alone, so that its history tells their loss."""


@dataclass(frozen=True)
class Outcome:
    """What a short study came to.

    Attributes:
        losses: mean loss of the same draws, by the weights that training began and ended with.
        terms: each term's means over the training's history, not weighted.
        tre_mm: median over all landmarks and points of the pairs tested, before and after.
        learnt: patients of the pairs learnt from.
        tested: patients of the pairs tested.
        pairs: how many pairs were learnt from and tested.
        seconds: of one core, from training to measurement.
    """

    losses: tuple[float, float]
    terms: Mapping[str, Sequence[float]]
    tre_mm: tuple[float, float]
    learnt: frozenset[str]
    tested: frozenset[str]
    pairs: tuple[int, int]
    seconds: float

    def __str__(self) -> str:
        """One line."""
        loss, tre = (
            f"{start:.4g} -> {end:.4g} ({end / start:.2f})"
            for start, end in (self.losses, self.tre_mm)
        )
        learnt, tested = self.pairs
        return f"loss {loss}, TRE {tre} mm, {learnt} + {tested} pairs, {self.seconds:.1f} s"


class ShortStudy:
    """A cohort of which one fold is held out, prepared once for all models.

    Args:
        manifest: of the cohort.
        results: folder of what is made.
        keys: of the configuration, beside or in place of `STUDY`.
    """

    def __init__(self, manifest: Path, results: Path, **keys: object) -> None:
        results.mkdir(parents=True, exist_ok=True)
        self.manifest, self.results, self.keys = manifest, results, keys
        self.study = self._configured({})
        self._prepare()

    def learn(self, name: str, model: Model) -> Outcome:
        """Train a model on all folds but one; register and measure that one."""
        begin = time.process_time()
        folder = self.results / name
        study = self._configured(model)
        self._train(study, folder / "m")
        rows = [row for chunk in self._tested for row in self._measured(study, folder, chunk)]
        start = self._loss(model, folder / "start")
        end = self._loss({**model, "warm_start": str(folder / "m")}, folder / "end")
        history = read_history(folder / f"m/fold-{FOLD}/history.csv")
        described = finished.describe(folder / f"m/fold-{FOLD}")
        tested = [pair for chunk in self._tested for pair in study.cohort.chunks[chunk]]
        return Outcome(
            losses=(start, end),
            terms={key: [row[key] for row in history] for key in history[-1]},
            tre_mm=(_median_tre(rows, "before"), _median_tre(rows, "after")),
            learnt=frozenset(described["patients"]["trained_on"]),
            tested=frozenset(patient for pair in tested for patient in pair.patients),
            pairs=(len(described["trained_on"]), len(tested)),
            seconds=time.process_time() - begin,
        )

    @functools.cached_property
    def _learnt(self) -> list[str]:
        return self.study.cohort.training_chunks(FOLD)

    @functools.cached_property
    def _tested(self) -> list[str]:
        return [
            chunk for chunk in self.study.cohort.registered_chunks() if chunk.startswith(f"{FOLD}-")
        ]

    def _configured(self, model: Model) -> Study:
        content = {"manifest": str(self.manifest), "models": {"m": model}}
        return Study.load(self.results / "short.yaml", STUDY | content | self.keys)

    def _table(self, chunk: str, kind: str) -> Path:
        return self.results / f"{chunk}.{kind}.tsv"

    def _prepare(self) -> None:
        study = self.study
        grid = self.results / "plan.json"
        plan(rows=self._rows(study.cohort.pairs), settings=study.config.plan, output=grid)
        images = ImageSettings.model_validate_json(study.settings("prepare_images"))
        labels = LabelSettings.model_validate_json(study.settings("prepare_labels"))
        for chunk in (*self._learnt, *self._tested):
            tables = {kind: self._table(chunk, kind) for kind in ("images", "labels")}
            shared = self._shared(chunk) | {"cases": self.results / "cases"}
            prepare_images(**shared, plan=grid, settings=images, table=tables["images"])
            prepare_labels(
                **shared, images=tables["images"], settings=labels, table=tables["labels"]
            )

    def _shared(self, chunk: str) -> dict[str, Any]:
        return {"rows": self._rows(self.study.cohort.chunks[chunk]), "code": "c"}

    def _rows(self, pairs: Sequence[Pair]) -> Path:
        return row_file(self.results, self.manifest, [pair.id for pair in pairs])

    def _train(self, study: Study, model: Path) -> None:
        settings = TrainSettings.model_validate_json(study.settings("train", "m"))
        train(
            images=tuple(self._table(chunk, "images") for chunk in self._learnt),
            labels=tuple(self._table(chunk, "labels") for chunk in self._learnt),
            cases=self.results / "cases",
            plan=self.results / "plan.json",
            fold=FOLD,
            settings=settings,
            code="c",
            output=model / f"fold-{FOLD}",
            checkpoints=model.with_name(f"{model.name}-checkpoints"),
            device="cpu",
            log_every=10,
        )

    def _loss(self, model: Model, output: Path) -> float:
        """Mean loss over the first draws, with the weights that a model starts from."""
        still = {**model, "training": model["training"] | STILL}
        self._train(self._configured(still), output)
        return read_history(output / f"fold-{FOLD}/history.csv")[-1]["loss"]

    def _measured(self, study: Study, folder: Path, chunk: str) -> Sequence[MetricRow]:
        shared = self._shared(chunk)
        infer(
            **shared,
            images=self._table(chunk, "images"),
            cases=self.results / "cases",
            models=(folder / f"m/fold-{FOLD}",),
            settings=InferSettings.model_validate_json(study.settings("infer", "m")),
            output=folder / "fields",
            table=folder / f"{chunk}.fields.tsv",
            device="cpu",
        )
        evaluate(
            **shared,
            fields=folder / f"{chunk}.fields.tsv",
            transforms=folder / "fields",
            model="m",
            fold=FOLD,
            settings=EvaluateSettings.model_validate_json(study.settings("evaluate")),
            output=folder / f"{chunk}.metrics.tsv",
        )
        return metric_tables.read(folder / f"{chunk}.metrics.tsv")


def _median_tre(rows: Sequence[MetricRow], when: Literal["before", "after"]) -> float:
    """Over landmarks and points, mm; a label that is not there then counts as infinitely far."""
    figures = [
        getattr(row, when)
        for row in rows
        if row.metric in {"tre", "point_tre"} and not _absent(row)
    ]
    return statistics.median(math.inf if figure is None else figure for figure in figures)


def _absent(row: MetricRow) -> bool:
    """Whether one side lacks what the row is about."""
    return row.note.startswith(metric_tables.ABSENT.format(""))
