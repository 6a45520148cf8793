"""A very small study of which every stage is run by its command, in this process."""

from __future__ import annotations

import contextlib
import io
import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tenter.cli.main import main
from tenter.study import Study

FOLD, MODEL = "0", "m"
FOLDS = ("0", "1")

CONTENT: dict[str, Any] = {
    "study": "trial",
    "manifest": "cohort/manifest.tsv",
    "labels": {"format": "stack", "names": [{"name": "gland", "key": 0, "role": "structure"}]},
    "plan": {"spacing_mm": 12.0, "alignment": "centre"},
    "folds": {"count": 2},
    "models": {
        MODEL: {
            "network": {"name": "unet", "channels": 2, "depth": 1},
            "training": {"steps": 2, "batch": 1, "learning_rate": 1e-3},
            "losses": {"labels": [{"name": "dice"}]},
        }
    },
    "summary": {"bootstrap": 100},
    "report": {"examples": 1},
    "evaluation": {"surface_metrics": False},
}


@dataclass(frozen=True)
class Answer:
    """What a command came to: its exit code, and what it wrote."""

    code: int
    stdout: str
    stderr: str

    @property
    def complaints(self) -> list[str]:
        """The lines of its error message; lines of its log begin with a time."""
        return [line for line in self.stderr.splitlines() if line.startswith("ERROR")]


def run(arguments: Sequence[str]) -> Answer:
    """Run a command; an exception that escapes is written out, as the interpreter would."""
    stdout, stderr = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(stderr)
    handler.setFormatter(logging.Formatter("12:00:00 %(levelname)s %(message)s"))
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            try:
                code = main(arguments)
            except SystemExit as left:
                code = int(str(left.code or 0))
            except Exception:  # noqa: BLE001 - what a user would see
                traceback.print_exc(file=stderr)
                code = 1
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    return Answer(code, stdout.getvalue(), stderr.getvalue())


class SmallStudy:
    """A study of four pairs, one model and two folds, all in one folder.

    Args:
        folder: of configuration, cohort and results.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "trial.yaml"
        self.results = folder / "results/trial"

    def make(self, leave_out: Sequence[str] = ()) -> None:
        """Run every stage but some, in order."""
        self.configure()
        self._expect(self.words("simulate", self.folder / "cohort"))
        self.study.cohort.record_folds(self.results / "cohort/folds.tsv")
        self.study.row_files.write()
        for stage in (name for name in tuple(WORDS)[1:] if name not in leave_out):
            for fold in FOLDS if stage in BY_FOLD else (FOLD,):
                self._expect(self.words(stage, self.results, fold))

    def configure(self) -> None:
        """Write the configuration."""
        self.config.write_text(yaml.safe_dump(CONTENT | {"results": str(self.folder / "results")}))

    def _expect(self, arguments: Sequence[str]) -> None:
        answer = run(arguments)
        assert answer.code == 0, answer.stderr

    @property
    def study(self) -> Study:
        """The study as the workflow sees it now."""
        return Study.load(self.config)

    def words(self, stage: str, out: Path, fold: str = FOLD) -> list[str]:
        """The command of a stage.

        Args:
            stage: its name.
            out: folder that it writes below; it reads from the study's own results.
            fold: of the stages that work by folds or chunks.
        """
        flags = WORDS[stage](self, out, fold)
        return [stage, *(str(flag) for flag in flags)]

    def pairs(self, fold: str) -> list[str]:
        """Ids of the pairs of a fold's only chunk."""
        return [pair.id for pair in self.study.cohort.chunks[f"{fold}-0"]]

    def rows(self, stage: str, fold: str) -> Path:
        """The rows of a fold's only chunk, as a stage reads them."""
        return self.study.row_files.path(f"{fold}-0", stage)

    def settings(self, stage: str, model: str | None = None) -> list[str]:
        """A stage's settings and the fingerprint of its code."""
        return [
            "--settings",
            self.study.settings(stage, model),
            "--code",
            self.study.code(stage, model),
        ]


Words = Callable[[SmallStudy, Path, str], list[Any]]


def _simulate(_: SmallStudy, out: Path, __: str) -> list[Any]:
    return [out, "--pairs", 4, "--patients", 4, "--spacing-mm", 6]


def _check(study: SmallStudy, out: Path, _: str) -> list[Any]:
    paths = ["--output", out / "cohort/check.json", "--plan", study.results / "cohort/plan.json"]
    return [study.config, "--cache", out / "cache/check.json", *paths, "--threads", 1]


def _start_tracking(study: SmallStudy, out: Path, _: str) -> list[Any]:
    server = [
        "--uri",
        f"sqlite:///{out}/tracking/mlflow.db",
        "--output",
        out / "tracking/tracking.json",
    ]
    return [
        *server,
        "--experiment",
        "trial",
        "--study",
        "trial",
        "--manifest",
        study.study.cohort.manifest,
    ]


def _plan(study: SmallStudy, out: Path, _: str) -> list[Any]:
    flags = ["--settings", study.study.settings("plan"), "--output", out / "cohort/plan.json"]
    return ["--rows", study.study.row_files.cohort, *flags]


def _prepare_images(study: SmallStudy, out: Path, fold: str) -> list[Any]:
    return [
        "--rows", study.rows("prepare_images", fold),
        "--plan", study.results / "cohort/plan.json", *study.settings("prepare_images"),
        "--cases", out / "cases", "--table", out / f"cases/tables/{fold}-0.images.tsv",
    ]  # fmt: skip


def _prepare_labels(study: SmallStudy, out: Path, fold: str) -> list[Any]:
    return [
        "--rows", study.rows("prepare_labels", fold),
        "--images", out / f"cases/tables/{fold}-0.images.tsv", *study.settings("prepare_labels"),
        "--cases", out / "cases", "--table", out / f"cases/tables/{fold}-0.labels.tsv",
    ]  # fmt: skip


def _train(study: SmallStudy, out: Path, fold: str) -> list[Any]:
    tables = study.results / "cases/tables"
    second_fold = FOLDS[1 - FOLDS.index(fold)]
    return [
        "--images", tables / f"{second_fold}-0.images.tsv",
        "--labels", tables / f"{second_fold}-0.labels.tsv",
        "--cases", study.results / "cases", "--plan", study.results / "cohort/plan.json",
        "--fold", fold, *study.settings("train", MODEL),
        "--output", out / f"models/{MODEL}/fold-{fold}",
        "--checkpoints", out / f"checkpoints/{MODEL}/fold-{fold}", "--device", "cpu",
        "--checkpoint-s", 0, "--log-every", 1,
    ]  # fmt: skip


def _infer(study: SmallStudy, out: Path, fold: str) -> list[Any]:
    return [
        "--rows", study.rows("infer", fold),
        "--images", study.results / f"cases/tables/{fold}-0.images.tsv",
        "--cases", study.results / "cases",
        "--models", study.results / f"models/{MODEL}/fold-{fold}", *study.settings("infer", MODEL),
        "--output", out / f"fields/{MODEL}", "--table", out / f"fields/tables/{MODEL}/{fold}-0.tsv",
        "--device", "cpu",
    ]  # fmt: skip


def _evaluate(study: SmallStudy, out: Path, fold: str) -> list[Any]:
    return [
        "--rows", study.rows("evaluate", fold),
        "--fields", study.results / f"fields/tables/{MODEL}/{fold}-0.tsv",
        "--transforms", study.results / f"fields/{MODEL}", "--model", MODEL, "--fold", fold,
        *study.settings("evaluate"), "--warped-labels", out / f"warped_labels/{MODEL}",
        "--mapped-points", out / f"mapped_points/{MODEL}",
        "--output", out / f"metrics/{MODEL}/{fold}-0.tsv",
    ]  # fmt: skip


def _summarise(study: SmallStudy, out: Path, _: str) -> list[Any]:
    return [
        "--metrics", *(study.results / f"metrics/{MODEL}/{fold}-0.tsv" for fold in FOLDS),
        *study.settings("summarise"), "--output", out / "metrics.tsv",
        "--summary", out / "summary.tsv",
        "--comparison", out / "comparison.tsv", "--challenges", out / "challenges.tsv",
    ]  # fmt: skip


def _report(study: SmallStudy, out: Path, _: str) -> list[Any]:
    tables = ("metrics", "summary", "comparison", "challenges")
    named = [
        argument for name in tables for argument in (f"--{name}", study.results / f"{name}.tsv")
    ]
    cohort = [
        "--results",
        study.results,
        "--plan",
        study.results / "cohort/plan.json",
        "--folds",
        study.results / "cohort/folds.tsv",
    ]
    return [*named, *cohort, *study.settings("report"), "--output", out / "report.html"]


def _publish(study: SmallStudy, out: Path, _: str) -> list[Any]:
    return [
        "--tracking", study.results / "tracking/tracking.json", "--model", MODEL,
        "--models", *(study.results / f"models/{MODEL}/fold-{fold}" for fold in FOLDS),
        "--metrics", study.results / "metrics.tsv", "--summary", study.results / "summary.tsv",
        "--output", out / f"tracking/{MODEL}.txt",
    ]  # fmt: skip


def _register(study: SmallStudy, out: Path, _: str) -> list[Any]:
    images = study.folder / "cohort/images"
    return [
        "--model", study.results / f"models/{MODEL}/fold-{FOLD}", "--device", "cpu", "--overwrite",
        "--moving", images / "case-001-moving.nii.gz", "--fixed", images / "case-001-fixed.nii.gz",
        "--out", out / "new",
    ]  # fmt: skip


def _warp(study: SmallStudy, out: Path, _: str) -> list[Any]:
    pair = study.pairs(FOLD)[0]
    images = study.folder / "cohort/images"
    return [
        "--transform", study.results / f"fields/{MODEL}/{pair}/transform.h5", "--overwrite",
        "--input", images / f"{pair}-moving.nii.gz", "--reference", images / f"{pair}-fixed.nii.gz",
        "--output", out / "warped/image.nii.gz", "--kind", "image",
    ]  # fmt: skip


WORDS: dict[str, Words] = {
    "simulate": _simulate,
    "check": _check,
    "start-tracking": _start_tracking,
    "plan": _plan,
    "prepare-images": _prepare_images,
    "prepare-labels": _prepare_labels,
    "train": _train,
    "infer": _infer,
    "evaluate": _evaluate,
    "summarise": _summarise,
    "report": _report,
    "publish": _publish,
    "register": _register,
    "warp": _warp,
}
"""Flags of every command that writes, in the order of the workflow."""

BY_FOLD = ("prepare-images", "prepare-labels", "train", "infer", "evaluate")
