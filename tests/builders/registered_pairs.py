"""A tiny cohort through the real stages: prepared, registered by random weights, and measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from builders.row_files import row_file
from builders.tiny_cohorts import picture, save, spheres, voxel_points, world
from tenter import config, networks
from tenter.cases import plans
from tenter.formats import transforms
from tenter.measurement import metric_tables
from tenter.records import MetricRow, Plan
from tenter.spatial.geometry import translation
from tenter.spatial.transform import Transform
from tenter.stages.evaluate import evaluate
from tenter.stages.infer import infer
from tenter.stages.prepare_images import prepare_images
from tenter.stages.prepare_labels import prepare_labels
from tenter.training import models

SHAPES = {"moving": (20, 18, 16), "fixed": (18, 16, 14)}
OFFSET = np.array([40.0, -25.0, 15.0])
"""From the middle of the fixed volume to that of the moving one, mm."""
AFFINES = {
    "moving": translation(OFFSET) @ world(SHAPES["moving"], (1.3, 1.6, 2.1), 20),
    "fixed": world(SHAPES["fixed"], (1.5, 1.4, 2.4), -15),
}
SHIFTS = {"moving": OFFSET + np.array([1.5, -1.0, 0.5]), "fixed": np.zeros(3)}
"""Where the spheres lie, mm from where a patient's own frame has them."""
POINTS = {"a": (3.0, -4.0, 2.0), "b": (-4.0, 3.0, -1.0)}
"""In the patient's own frame, mm."""

PLAN = Plan(shape=(12, 18, 14), spacing_mm=(2.6, 1.5, 2.2), intensity="zscore", alignment="centre")
"""Coarser than both images along one axis, so that they are smoothed before they are read."""
NETWORK = config.UNetNetwork(channels=4, depth=2)
LABELS = config.LabelFiles(
    names=(
        config.NamedLabel(name="gland", key=1, role="structure"),
        config.NamedLabel(name="cyst", key=2),
        config.NamedLabel(name="lump", key=5),
    )
)


def drawn(side: str) -> dict[str, np.ndarray]:
    """Image and label map of a side, on its grid of `AFFINES`:
    the same spheres, another contrast.
    """
    places = voxel_points(SHAPES[side], AFFINES[side]) - SHIFTS[side]
    image = picture(places) if side == "fixed" else 200 - 1.5 * picture(places)
    return {"image": image.astype(np.float32), "labels": spheres(places, "map")}


def write_points(path: Path, side: str) -> None:
    """Where the points of `POINTS` lie on a side."""
    lines = ["label\tx\ty\tz"]
    for name, place in POINTS.items():
        x, y, z = np.array([10.0, -20.0, 30.0]) + place + SHIFTS[side]
        lines.append(f"{name}\t{x}\t{y}\t{z}")
    path.write_text("\n".join(lines) + "\n")


def write_manifest(root: Path, rows: Mapping[str, Mapping[str, str]]) -> None:
    """A manifest of pairs, each its own patient, with one column for each kind of file."""
    columns = list(next(iter(rows.values())))
    cells = ([name, name, *(row[column] for column in columns)] for name, row in rows.items())
    lines = [["pair", "patient", *columns], *cells]
    (root / "manifest.tsv").write_text("\n".join("\t".join(line) for line in lines) + "\n")


def write_pair(root: Path) -> None:
    """One pair, `p`: images, label maps and points, and their manifest."""
    row: dict[str, str] = {}
    for side, affine in AFFINES.items():
        for what, array in drawn(side).items():
            row[f"{side}_{what}"] = save(root / f"{side}-{what}.nii", array, affine).name
        row[f"{side}_points"] = f"{side}.points.tsv"
        write_points(root / f"{side}.points.tsv", side)
    write_manifest(root, {"p": row})


def write_model(folder: Path) -> None:
    """A finished model of random weights, heads and all:
    its field is far from zero and symmetry.
    """
    torch.manual_seed(3)
    state = networks.build(NETWORK, 2).state_dict()
    weights = {
        name: (0.09 if name.startswith("head") else 0.3) * torch.randn_like(value)
        for name, value in state.items()
    }
    described = {
        "fold": "0",
        "network": NETWORK.model_dump(mode="json"),
        "channels": {"moving": 1, "fixed": 1},
        "plan": asdict(PLAN),
    }
    models.save(folder, weights, described)


@dataclass(frozen=True)
class RegisteredStudy:
    """A folder that holds a manifest and what stages make of it."""

    root: Path
    pairs: tuple[str, ...] = ("p",)
    labels: config.LabelFiles = LABELS

    @property
    def _given(self) -> dict[str, Any]:
        rows = row_file(self.root, self.root / "manifest.tsv", self.pairs)
        return {"rows": rows, "code": "c"}

    def run(self) -> tuple[MetricRow, ...]:
        """All of it."""
        self.prepare_images()
        self.prepare_labels()
        self.register()
        return self.evaluate()

    def prepare_images(self) -> None:
        """Fills `cases`."""
        plans.write_plan(self.root / "plan.json", PLAN)
        settings = config.ImageSettings(plan=config.PlanRules())
        prepare_images(
            **self._given, plan=self.root / "plan.json", settings=settings,
            cases=self.root / "cases", table=self.root / "images.tsv",
        )  # fmt: skip

    def prepare_labels(self) -> None:
        """Fills `cases` with labels."""
        prepare_labels(
            **self._given, images=self.root / "images.tsv", cases=self.root / "cases",
            settings=config.LabelSettings(labels=self.labels), table=self.root / "labels.tsv",
        )  # fmt: skip

    def register(self, network: config.Network = NETWORK, model: Path | None = None) -> None:
        """Fills `fields`, by random weights where no model is named."""
        if model is None:
            model = self.root / "model"
            write_model(model)
        infer(
            **self._given, images=self.root / "images.tsv", cases=self.root / "cases",
            models=(model,),
            settings=config.InferSettings(network=network, export=config.RegistrationExport()),
            output=self.root / "fields", table=self.root / "fields.tsv", device="cpu",
        )  # fmt: skip

    def evaluate(self) -> tuple[MetricRow, ...]:
        """Writes and reads `metrics.tsv`."""
        settings = config.EvaluateSettings(
            labels=self.labels,
            evaluation=config.Evaluation(),
            warped_labels=False,
            mapped_points=False,
        )
        evaluate(
            **self._given, fields=self.root / "fields.tsv", transforms=self.root / "fields",
            model="m", fold="0", settings=settings, output=self.root / "metrics.tsv",
        )  # fmt: skip
        return tuple(metric_tables.read(self.root / "metrics.tsv"))

    def transform(self, pair: str = "p") -> Transform:
        """The whole map that was written for a pair."""
        return transforms.read_transform(self.root / "fields" / pair / "transform.h5")
