"""O27: the whole chain learns. One pair of shifted spheres, from apart to matched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from builders.registered_pairs import AFFINES, OFFSET, SHAPES, RegisteredStudy, write_manifest
from builders.tiny_cohorts import save, voxel_points
from builders.training_cases import settings
from tenter import config
from tenter.records import MetricRow
from tenter.stages.train import train

STEPS = 100
NETWORK = {"name": "unet", "channels": 8, "depth": 2}
APART_MM = {"moving": OFFSET + np.array([3.0, -2.0, 2.5]), "fixed": np.zeros(3)}
SPHERE = config.LabelFiles(names=(config.NamedLabel(name="sphere", key=1, role="structure"),))


def write_spheres(root: Path) -> None:
    """A bright ball of 6 mm in one image, a dark one beside it in the other."""
    row: dict[str, str] = {}
    for side, affine in AFFINES.items():
        distance = np.linalg.norm(voxel_points(SHAPES[side], affine) - APART_MM[side], axis=-1)
        image = 100 / (1 + np.exp(distance - 6)) * (1 if side == "fixed" else -1)
        arrays = {"image": image.astype(np.float32), "labels": (distance < 6).astype(np.uint8)}
        for what, array in arrays.items():
            row[f"{side}_{what}"] = save(root / f"{side}-{what}.nii", array, affine).name
    write_manifest(root, {"p": row})


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[MetricRow, ...]:
    study = RegisteredStudy(tmp_path_factory.mktemp("trained"), labels=SPHERE)
    root = study.root
    write_spheres(root)
    study.prepare_images()
    study.prepare_labels()
    chosen = settings(
        steps=STEPS, batch=1, learning_rate=3e-3, network=NETWORK, augmentation={"affine": 0.0},
        losses={
            "labels": [{"name": "dice", "scales_mm": [0, 3, 6]}],
            "regularisers": [{"name": "bending", "units": "voxel"}],
        },
    )  # fmt: skip
    train(
        images=(root / "images.tsv",), labels=(root / "labels.tsv",), cases=root / "cases",
        plan=root / "plan.json", fold="all", settings=chosen, code="c",
        output=root / "model/fold-all", checkpoints=root / "checkpoints", device="cpu",
    )  # fmt: skip
    study.register(chosen.network, root / "model/fold-all")
    return study.evaluate()


def figures(rows: tuple[MetricRow, ...], metric: str) -> tuple[float, float]:
    (row,) = (row for row in rows if row.metric == metric)
    assert row.before is not None
    assert row.after is not None
    return row.before, row.after


def test_o27_training_brings_two_spheres_together(rows: tuple[MetricRow, ...]) -> None:
    before, after = figures(rows, "dice")
    assert before < 0.6
    assert after > 0.9


def test_o27_their_centres_too(rows: tuple[MetricRow, ...]) -> None:
    before, after = figures(rows, "tre")
    assert before > 4
    assert after < 0.5


def test_o27_almost_without_a_fold(rows: tuple[MetricRow, ...]) -> None:
    assert figures(rows, "folding")[1] < 1
