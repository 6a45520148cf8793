"""The results folder of a finished study, made up: what the report reads,
without any registration.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from tenter import config, files
from tenter.cases import plans
from tenter.formats import transforms
from tenter.measurement import metric_tables
from tenter.records import MetricRow, Plan
from tenter.spatial.transform import Transform
from tenter.stages.report import report
from tenter.stages.summarise import summarise

SPACING = (1.5, 1.5, 1.5)
LANDMARKS = ("cyst", "calcification", "verumontanum", "zone-border")


def cohort(pairs: int, patients: int) -> list[tuple[str, str]]:
    """Pair and patient; the first patients have two pairs."""
    owners = [f"patient{index % patients:02d}" for index in range(pairs)]
    return [(f"pair{index:03d}", owner) for index, owner in enumerate(sorted(owners))]


def rows(
    pairs: int = 12,
    patients: int = 9,
    folds: int = 3,
    *,
    models: tuple[str, ...] = ("local",),
    seed: int = 0,
    surfaces: bool = True,
) -> list[MetricRow]:
    """Figures such as a small gland cohort gives; of every ninth landmark or so nothing is left."""
    random = np.random.default_rng(seed)
    found: list[MetricRow] = []
    for place, (pair, patient) in enumerate(cohort(pairs, patients)):
        fold = str(int(patient[-2:]) % folds)
        labels = 2 + place % (len(LANDMARKS) - 1)
        start = (float(np.clip(random.normal(0.61, 0.11), 0.1, 0.9)), random.gamma(5, 2.4, labels))
        for skill, model in enumerate(models):
            head = (model, fold, "cv", pair, patient)
            found.extend(_pair(head, start[0], start[1], 0.25 * skill, random))
    return [item for item in found if surfaces or item.metric not in {"hd95", "surface_distance"}]


Head = tuple[str, str, str, str, str]


def row(
    head: Head, what: tuple[str, str, str, str], before: float | None, after: float | None
) -> MetricRow:
    """A row; an infinite figure is a vanished label."""
    model, fold, kind, pair, patient = head
    label, role, metric, unit = what
    lost = after is not None and math.isinf(after)
    return MetricRow(
        model=model, fold=fold, set="test" if kind == "test" else "cv", pair=pair,
        patient=patient, label=label, role=role, metric=metric, unit=unit,
        before=before, after=None if lost else after,
        note=metric_tables.VANISHED if lost else "",
    )  # fmt: skip


def _pair(
    head: Head, dice: float, tre: np.ndarray, lag: float, random: np.random.Generator
) -> Iterator[MetricRow]:
    gain = float(np.clip(random.normal(0.87 - 0.03 * lag, 0.035), 0.5, 0.96))
    after = gain if random.random() > 0.05 else dice - 0.04
    yield row(head, ("gland", "structure", "dice", "1"), dice, after)
    yield row(head, ("gland", "structure", "hd95", "mm"), 14 * (1 - dice), 12 * (1 - after) + 1.5)
    yield row(
        head,
        ("gland", "structure", "surface_distance", "mm"),
        7 * (1 - dice),
        6 * (1 - after) + 0.4,
    )
    left: list[float] = []
    for name, before in zip(LANDMARKS, tre, strict=False):
        lost = random.random() < 0.115
        left.append(math.inf if lost else float(0.3 * before + random.gamma(3.0, 0.6 + 0.4 * lag)))
        yield row(head, (name, "landmark", "tre", "mm"), float(before), left[-1])
    rms = [float(np.sqrt(np.mean(np.square(values)))) for values in (tre, left)]
    yield row(head, ("", "landmark", "rms_tre", "mm"), *rms)
    yield row(
        head, ("", "field", "folding", "%"), None, float(max(0.0, random.normal(-0.02, 0.04)))
    )
    yield row(head, ("", "field", "sd_log_jacobian", "1"), None, float(random.gamma(12, 0.012)))


def write_histories(models: Path, names: tuple[str, ...], folds: int, steps: int = 10_000) -> None:
    """Curves and descriptions of every fold's training."""
    for name in names:
        for fold in range(folds):
            random = np.random.default_rng(fold)
            lines = ["step,loss,label,bending,val_dice,val_tre_mm"]
            for step in range(50, steps + 1, 50):
                fall = math.exp(-step / (0.22 * steps))
                loss = 0.42 + 0.5 * fall + 0.01 * fold + random.normal(0, 0.03)
                line = f"{step},{loss:.5f},{loss - 0.02:.5f},{0.04 * (1 - fall):.5f}"
                noise = random.normal(0, 0.006)
                watched = f"{0.87 - 0.25 * fall + noise:.4f},{4 + 8 * fall + 20 * noise:.3f}"
                lines.append(f"{line},{watched}" if step % 500 == 0 else f"{line},,")
            folder = models / name / f"fold-{fold}"
            files.write_text(folder / "history.csv", "\n".join(lines) + "\n")
            files.write_json(folder / "model.json", _description(name, fold, steps))


def _description(name: str, fold: int, steps: int) -> dict[str, object]:
    return {
        "format": 1,
        "fold": str(fold),
        "identity": {"settings": files.digest(name), "code": "1234567890abcdef"},
        "trained_on": [f"pair{index:03d}" for index in range(40)],
        "provenance": {"tenter": "0.1.0", "commit": "0123456789abcdef0123456789abcdef01234567"},
        "steps": steps,
        "seconds": 5400.0 + 60 * fold,
        "weights_sha256": files.digest([name, fold]),
    }


def write_case(
    root: Path, pair: str, shape: tuple[int, int, int] = (24, 28, 20), *, labelled: bool = True
) -> None:
    """Images, labels and the fields of a pair: a gland that lies elsewhere in the moving image."""
    random = np.random.default_rng(list(pair.encode()))
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).astype(float)
    centre = np.array(shape)[:, None, None, None] / 2

    def gland(shift: tuple[float, float, float], size: float) -> np.ndarray:
        radius = np.array(shape)[:, None, None, None] * size
        moved = (grid - centre - np.array(shift)[:, None, None, None]) / radius
        return np.asarray(np.sqrt((moved**2).sum(0)))

    folder = root / "cases" / pair
    folder.mkdir(parents=True, exist_ok=True)
    affine = np.diag([*SPACING, 1.0])
    distances = {"fixed": gland((0, 0, 0), 0.29), "moving": gland((2.0, -1.5, 1.0), 0.27)}
    for side, distance in distances.items():
        texture = random.normal(0, 1, shape)
        smooth = sum(np.roll(texture, k, axis) for axis in range(3) for k in (-1, 0, 1)) / 9
        brightness = np.exp(-(distance**2)) * (1.4 if side == "moving" else -1.2) + 0.5 * smooth
        _save(folder / f"{side}.nii", brightness.astype(np.float32), affine)
        labels = [distance < 1]
        for index in range(3):
            place = (
                centre + np.array([(-3, 2, 0), (3, -2, 1), (0, 4, -1)][index])[:, None, None, None]
            )
            place = (
                place
                if side == "fixed"
                else place + np.array([2.0, -1.5, 1.0])[:, None, None, None]
            )
            labels.append((((grid - place) ** 2).sum(0)) < 2.3**2)
        if labelled:
            _save(
                folder / f"{side}_labels.nii", np.stack(labels, -1).astype(np.uint8) * 255, affine
            )
    source = {"shape": list(shape), "affine": affine.tolist()}
    said = {
        "pair": pair, "patients": ["p"], "set": "cv", "stratum": None, "affine": affine.tolist(),
        "alignment": np.eye(4).tolist(), "moving": source, "fixed": source,
        "plan": "0", "sources": {},
    }  # fmt: skip
    files.write_json(folder / "images.json", said)
    names = (
        [("gland", "structure"), *((name, "landmark") for name in LANDMARKS[:3])]
        if labelled
        else []
    )
    labels_said = [
        {"name": name, "key": key, "role": role} for key, (name, role) in enumerate(names)
    ]
    files.write_json(folder / "labels.json", {"labels": labels_said, "shape": list(shape)})


def _save(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    nib.save(nib.Nifti1Image(array, affine), path)


def write_field(
    root: Path, model: str, pair: str, shape: tuple[int, int, int] = (24, 28, 20)
) -> None:
    """A smooth field that undoes most of the gland's shift."""
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).astype(float)
    centre = np.array(shape)[:, None, None, None] / 2
    bump = np.exp(-(((grid - centre) / (0.4 * np.array(shape)[:, None, None, None])) ** 2).sum(0))
    moves = np.array([1.8, -1.3, 0.9])[:, None, None, None] * bump
    field = torch.from_numpy(moves[None].astype(np.float32))
    transforms.write_transform(
        root / "fields" / model / pair / "transform.h5",
        Transform(np.eye(4), field, np.diag([*SPACING, 1.0])),
    )


def write_cohort(
    root: Path, pairs: int, patients: int, folds: int, shape: tuple[int, int, int]
) -> None:
    """The plan and the folds."""
    plan = Plan(shape, SPACING, "zscore", "centre", cohort={"pairs": pairs})
    plans.write_plan(root / "cohort" / "plan.json", plan)
    lines = [
        "patient\tfold",
        *(f"patient{index:02d}\t{index % folds}" for index in range(patients)),
    ]
    files.write_text(root / "cohort" / "folds.tsv", "\n".join(lines) + "\n")


def write_study(
    root: Path,
    found: list[MetricRow],
    *,
    models: tuple[str, ...] = ("local",),
    folds: int = 3,
    shape: tuple[int, int, int] = (12, 14, 10),
) -> Path:
    """All that the report reads of a study: tables, plan, folds and trained models;
    no case, no field.
    """
    metric_tables.write(root / "metrics" / "all.tsv", found)
    summarise(
        metrics=(root / "metrics" / "all.tsv",),
        settings=config.SummariseSettings(summary=config.Summary(bootstrap=100), models=models),
        code="0" * 16,
        output=root / "metrics.tsv",
        summary=root / "summary.tsv",
        comparison=root / "comparison.tsv",
        challenges=root / "challenges.tsv",
    )
    patients = {item.patient for item in found}
    write_cohort(root, len({item.pair for item in found}), len(patients), folds, shape)
    write_histories(root / "models", models, folds, steps=1000)
    return root


def write_report(
    root: Path,
    *,
    models: tuple[str, ...] = ("local",),
    title: str = "",
    examples: int = 0,
    options: tuple[tuple[str, str], ...] = (),
) -> str:
    """The report of a study written by `write_study`, as text."""
    report(
        metrics=root / "metrics.tsv",
        summary=root / "summary.tsv",
        comparison=root / "comparison.tsv",
        challenges=root / "challenges.tsv",
        plan=root / "cohort" / "plan.json",
        results=root,
        folds=root / "cohort" / "folds.tsv",
        settings=config.ReportSettings(
            study="small",
            report=config.Report(title=title, examples=examples),
            labels=config.LabelFiles(),
            models=models,
            options=options,
        ),
        code="abcdef0123456789",
        output=root / "report.html",
    )
    return (root / "report.html").read_text(encoding="utf-8")
