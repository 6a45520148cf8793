"""Evaluating a simulated cohort's true fields finds them right;
the zero field gives what SciPy gives.
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from builders.row_files import row_file
from tenter import manifest, tables
from tenter.config import EvaluateSettings, Evaluation, LabelFiles, NamedLabel
from tenter.formats import transforms, volumes
from tenter.measurement import metric_tables
from tenter.records import MetricRow
from tenter.spatial.geometry import centre_mm
from tenter.spatial.transform import Transform
from tenter.stages.evaluate import evaluate
from tenter.stages.simulate import simulate

PAIRS = tuple(f"case-{number:03d}" for number in range(1, 7))
GLAND = NamedLabel(name="gland", key=0, role="structure")
SETTINGS = EvaluateSettings(
    labels=LabelFiles(format="stack", names=(GLAND,)),
    evaluation=Evaluation(),
    warped_labels=False,
    mapped_points=False,
)
Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "cohort"
    simulate(folder, pairs=len(PAIRS), patients=5, seed=23)
    return folder


def measured(cohort: Path, folder: Path, fields: dict[str, Transform]) -> list[MetricRow]:
    """The rows that the stage writes for these transforms."""
    entries = []
    for pair, transform in fields.items():
        path = folder / pair / "transform.h5"
        transforms.write_transform(path, transform)
        entries.append(tables.entry(pair, path, folder, "f"))
    tables.write(folder / "table.tsv", entries)
    evaluate(
        rows=row_file(folder, cohort / "manifest.tsv", PAIRS),
        fields=folder / "table.tsv",
        transforms=folder,
        model="m",
        fold="0",
        settings=SETTINGS,
        code="c",
        output=folder / "metrics.tsv",
    )
    return list(metric_tables.read(folder / "metrics.tsv"))


@pytest.fixture(scope="module")
def of_truth(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> list[MetricRow]:
    true = {pair: transforms.read_transform(cohort / f"truth/{pair}.h5") for pair in PAIRS}
    return measured(cohort, tmp_path_factory.mktemp("true"), true)


@pytest.fixture(scope="module")
def of_zero(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> list[MetricRow]:
    """Volume centres aligned, and no displacement at all."""
    still = {}
    for pair in manifest.read(cohort / "manifest.tsv"):
        fixed, moving = volumes.header(pair.fixed), volumes.header(pair.moving)
        alignment = np.eye(4)
        middles = [np.array(centre_mm(side.affine, side.shape)) for side in (moving, fixed)]
        alignment[:3, 3] = middles[0] - middles[1]
        still[pair.id] = Transform(alignment, torch.zeros(1, 3, *fixed.shape), fixed.affine)
    return measured(cohort, tmp_path_factory.mktemp("zero"), still)


def after(rows: list[MetricRow], metric: str, role: str = "") -> Array:
    values = [row.after for row in rows if row.metric == metric and role in ("", row.role)]
    assert values
    return np.array(values, dtype=float)


def test_points_are_where_the_true_field_says(of_truth: list[MetricRow]) -> None:
    assert after(of_truth, "point_tre").max() <= 0.1


def test_the_gland_matches_under_the_true_field(of_truth: list[MetricRow]) -> None:
    assert after(of_truth, "dice", "structure").min() >= 0.97


def test_centroids_match_under_the_true_field_to_a_third_of_a_voxel(
    cohort: Path, of_truth: list[MetricRow]
) -> None:
    for row in of_truth:
        if row.metric == "tre" and row.label:
            header = volumes.header(cohort / f"images/{row.pair}-fixed.nii.gz")
            voxel = float(np.linalg.norm(header.affine[:3, :3], axis=0).mean())
            assert row.after is not None
            assert row.after <= 0.3 * voxel, (row.pair, row.label)


def test_true_fields_do_not_fold(of_truth: list[MetricRow]) -> None:
    assert after(of_truth, "folding").max() == 0


def independent(cohort: Path, pair: str) -> tuple[dict[int, float], dict[int, float]]:
    """Dice and centroid distance (mm) by label, volume centres aligned:
    nibabel, NumPy and SciPy alone.
    """
    sides = [
        nib.nifti1.Nifti1Image.from_filename(cohort / f"labels/{pair}-{side}.nii.gz")
        for side in ("moving", "fixed")
    ]
    (moving, fixed), (moving_affine, affine) = (
        [side.get_fdata() for side in sides],
        [side.affine for side in sides],
    )
    middle = [
        a[:3, :3] @ ((np.array(v.shape[:3]) - 1) / 2) + a[:3, 3]
        for v, a in ((moving, moving_affine), (fixed, affine))
    ]
    index = np.indices(fixed.shape[:3]).reshape(3, -1)
    world = affine[:3, :3] @ index + affine[:3, 3:] + (middle[0] - middle[1])[:, None]
    places = np.linalg.inv(moving_affine[:3, :3]) @ (world - moving_affine[:3, 3:])
    dice, distance = {}, {}
    for key in range(min(moving.shape[3], fixed.shape[3])):
        warped = (
            ndimage.map_coordinates(moving[..., key], places, order=1).reshape(fixed.shape[:3])
            >= 0.5
        )
        target = fixed[..., key] >= 0.5
        if moving[..., key].any() and target.any() and warped.any():
            dice[key] = 2 * (warped & target).sum() / (warped.sum() + target.sum())
            gap = np.argwhere(warped).mean(axis=0) - np.argwhere(target).mean(axis=0)
            distance[key] = float(np.linalg.norm(affine[:3, :3] @ gap))
    return dice, distance


@pytest.mark.parametrize("pair", PAIRS)
def test_the_zero_field_gives_independent_figures(
    cohort: Path, of_zero: list[MetricRow], pair: str
) -> None:
    dice, distance = independent(cohort, pair)
    for metric, expected in (("dice", dice), ("tre", distance)):
        rows = {
            row.label: row
            for row in of_zero
            if row.pair == pair and row.metric == metric and row.label
        }
        assert expected
        for key, value in expected.items():
            row = rows[SETTINGS.labels.label(key).name]
            assert row.before == pytest.approx(value, abs=1e-3)
            assert row.after == pytest.approx(row.before)
