"""Small pairs of labelled balls in a folder, registered by known transforms,
and their evaluation.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from builders.row_files import row_file
from tenter import tables
from tenter.config import EvaluateSettings, Evaluation, LabelFiles, NamedLabel
from tenter.formats import transforms, volumes
from tenter.measurement import metric_tables
from tenter.records import MetricRow
from tenter.shapes import Matrix
from tenter.spatial.transform import Transform
from tenter.stages.evaluate import evaluate

SHAPE = (20, 18, 14)
AFFINE: Matrix = np.array([[-0.8, 0, 0, 8], [0, 1.1, 0, -9], [0, 0, 2.5, -17], [0, 0, 0, 1]])
MOVING: Matrix = np.array([[1.0, 0, 0, -9], [0, 1.2, 0, -10], [0, 0, 2.0, -14], [0, 0, 0, 1]])
NAMES = (
    NamedLabel(name="gland", key=1, role="structure"),
    NamedLabel(name="cyst", key=2),
    NamedLabel(name="lump", key=5),
)
MAP = EvaluateSettings(
    labels=LabelFiles(format="map", names=NAMES),
    evaluation=Evaluation(),
    warped_labels=False,
    mapped_points=False,
)


def balls(affine: Matrix, centres: Mapping[int, tuple[float, float, float]]) -> np.ndarray:
    """Balls around points in RAS mm, in an integer map; the gland is the largest."""
    index = np.indices(SHAPE).reshape(3, -1)
    places = (affine[:3, :3] @ index + affine[:3, 3:]).T.reshape(*SHAPE, 3)
    labels = np.zeros(SHAPE, dtype=np.uint8)
    for key, centre in sorted(centres.items()):
        labels[np.linalg.norm(places - centre, axis=-1) < (6.5 if key == 1 else 3.1)] = key
    return labels


FIXED_BALLS = {1: (0.0, 0.0, 0.0), 2: (2.0, 1.0, 3.0)}
MOVING_BALLS = {1: (1.0, -1.0, 1.0), 2: (-1.5, 1.0, 2.0)}


def still() -> Transform:
    return Transform(np.eye(4), torch.zeros(1, 3, 6, 6, 6), np.diag([4.0, 4, 6, 1]) - _offset())


def _offset() -> Matrix:
    offset = np.zeros((4, 4))
    offset[:3, 3] = [10, 10, 15]
    return offset


def bent() -> Transform:
    random = torch.Generator().manual_seed(5)
    noise = torch.randn(1, 3, 6, 6, 6, generator=random)
    smooth = torch.nn.functional.avg_pool3d(noise, 3, stride=1, padding=1)
    alignment = np.eye(4)
    alignment[:3, 3] = [0.5, -0.4, 0.3]
    return Transform(alignment, smooth, still().affine)


def shifted(x: float) -> Transform:
    """A field that moves everything by x mm along R."""
    base = still()
    moved = torch.zeros_like(base.field)
    moved[:, 0] = x / 4
    return Transform(base.alignment, moved, base.affine)


@dataclass
class MeasuredStudy:
    """A cohort in a folder, and where evaluation writes."""

    root: Path
    rows: list[dict[str, str]] = field(default_factory=list)
    entries: list[tuple[str, Path]] = field(default_factory=list)

    def add(
        self,
        name: str,
        transform: Transform,
        *,
        fixed: np.ndarray | None,
        moving: np.ndarray | None,
        kind: str = "cv",
    ) -> None:
        row = {"pair": name, "patient": f"patient-{name}", "set": kind}
        for side, affine, labels in (("moving", MOVING, moving), ("fixed", AFFINE, fixed)):
            row[f"{side}_image"] = f"{name}-{side}.nii.gz"
            volumes.write_image(
                self.root / row[f"{side}_image"], np.zeros(SHAPE, np.float32), affine
            )
            if labels is not None:
                row[f"{side}_labels"] = f"{name}-{side}-labels.nii.gz"
                volumes.write_labels(self.root / row[f"{side}_labels"], labels, affine)
        self.rows.append(row)
        self.register(name, transform)

    def register(self, name: str, transform: Transform, member: str = "") -> None:
        path = self.root / "fields" / name / member / "transform.h5"
        transforms.write_transform(path, transform)
        self.entries.append((name, path))

    def points(
        self, name: str, side: str, points: Mapping[str, tuple[float, float, float]]
    ) -> None:
        path = self.root / f"{name}-{side}.points.tsv"
        lines = [
            "label\tx\ty\tz",
            *("\t".join([key, *map(str, xyz)]) for key, xyz in points.items()),
        ]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        next(row for row in self.rows if row["pair"] == name)[f"{side}_points"] = path.name

    def evaluate(self, settings: EvaluateSettings = MAP, fold: str = "1") -> list[MetricRow]:
        columns = ["pair", "patient", "set"]
        columns += [
            f"{side}_{what}"
            for side in ("moving", "fixed")
            for what in ("image", "labels", "points")
        ]
        with (self.root / "manifest.tsv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, columns, delimiter="\t", restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        tables.write(
            self.root / "table.tsv",
            [
                tables.entry(name, path, self.root / "fields", "f")
                for name, path in self.entries
                if path.exists()
            ],
        )
        return self.run(settings, fold)

    def run(self, settings: EvaluateSettings, fold: str) -> list[MetricRow]:
        pairs = [row["pair"] for row in self.rows]
        evaluate(
            rows=row_file(self.root, self.root / "manifest.tsv", pairs),
            fields=self.root / "table.tsv",
            transforms=self.root / "fields",
            model="local",
            fold=fold,
            settings=settings,
            code="c",
            output=self.root / "metrics.tsv",
            warped_labels=self.root / "warped",
            mapped_points=self.root / "mapped",
        )
        return list(metric_tables.read(self.root / "metrics.tsv"))
