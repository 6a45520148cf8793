"""Figures by the rules of challenges, from files, against SciPy and SimpleITK alone."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from builders.measured_pairs import (
    AFFINE,
    FIXED_BALLS,
    MAP,
    MOVING,
    MOVING_BALLS,
    SHAPE,
    MeasuredStudy,
    balls,
    bent,
    shifted,
    still,
)
from tenter.config import Evaluation, LabelFiles, NamedLabel
from tenter.formats import fields, transforms
from tenter.metrics.definitions import METRICS, definition
from tenter.metrics.indices import index_field
from tenter.metrics.regions import Grid
from tenter.records import MetricRow
from tenter.spatial import pull

Array = NDArray[np.float64]
BOTH = MAP.model_copy(update={"evaluation": Evaluation(families=("learn2reg", "muregpro"))})
POINTS = {"a": (1.0, 2.0, 3.0), "b": (-4.0, -2.5, 1.0), "=c": (3.0, 0.5, -4.0)}


@pytest.fixture
def study(tmp_path: Path) -> MeasuredStudy:
    measured = MeasuredStudy(tmp_path)
    rough = bent()
    rough.field.mul_(1.5)
    measured.add("p", rough, fixed=balls(AFFINE, FIXED_BALLS), moving=balls(MOVING, MOVING_BALLS))
    for side, by in (("fixed", 0.0), ("moving", 0.7)):
        measured.points("p", side, {name: (x + by, y, z) for name, (x, y, z) in POINTS.items()})
    return measured


def displacement(study: MeasuredStudy) -> Array:
    """u = (moving voxel of T(x)) - index, by SimpleITK, cast to float32 as in a submitted file."""
    transform = sitk.ReadTransform(str(study.root / "fields/p/transform.h5"))
    fixed, moving = (
        sitk.ReadImage(str(study.root / f"p-{side}.nii.gz")) for side in ("fixed", "moving")
    )
    field = np.zeros((3, *SHAPE))
    for index in np.ndindex(SHAPE):
        point = transform.TransformPoint(
            fixed.TransformIndexToPhysicalPoint([int(i) for i in index])
        )
        field[(slice(None), *index)] = (
            np.array(moving.TransformPhysicalPointToContinuousIndex(point)) - index
        )
    return field.astype(np.float32).astype(np.float64)


def labels(study: MeasuredStudy, side: str) -> Array:
    image = nib.nifti1.Nifti1Image.from_filename(study.root / f"p-{side}-labels.nii.gz")
    return np.asarray(image.get_fdata())


def test_the_field_that_is_scored_is_the_one_that_is_exported(study: MeasuredStudy) -> None:
    transform = transforms.read_transform(study.root / "fields/p/transform.h5")
    path = study.root / "disp_0001_0001.nii.gz"
    fields.write_field_learn2reg(path, pull.displacement(transform, AFFINE, SHAPE), AFFINE, MOVING)
    exported = np.moveaxis(
        np.asarray(nib.nifti1.Nifti1Image.from_filename(path).get_fdata()), -1, 0
    )
    np.testing.assert_allclose(
        index_field(transform, Grid(AFFINE, SHAPE), MOVING), exported, atol=1e-5
    )


def find(rows: list[MetricRow], metric: str, label: str = "") -> MetricRow:
    (row,) = (row for row in rows if (row.metric, row.label) == (metric, label))
    return row


def test_the_strict_family_is_measured_in_any_case(study: MeasuredStudy) -> None:
    alone = study.evaluate(MAP)
    assert [
        row for row in study.evaluate(BOTH) if definition(row.metric).family == "strict"
    ] == alone


def test_figures_of_challenges_say_their_family_and_unit(study: MeasuredStudy) -> None:
    rows = study.evaluate(BOTH)
    assert {row.metric for row in rows} == {metric.name for metric in METRICS}
    assert {row.unit for row in rows if row.metric in {"muregpro_tre", "learn2reg_hd95"}} == {
        "voxel"
    }


@pytest.mark.parametrize(("key", "label"), [(1, "gland"), (2, "cyst")])
def test_learn2regs_dice_is_that_of_a_script_on_arrays(
    study: MeasuredStudy, key: int, label: str
) -> None:
    rows, coordinates = study.evaluate(BOTH), np.indices(SHAPE) + displacement(study)
    warped = ndimage.map_coordinates(labels(study, "moving"), coordinates, order=0) == key
    fixed = labels(study, "fixed") == key
    expected = 2 * (warped & fixed).sum() / (warped.sum() + fixed.sum())
    assert find(rows, "learn2reg_dice", label).after == pytest.approx(expected, abs=1e-6)


def test_learn2regs_errors_of_points_are_those_of_a_script_on_arrays(study: MeasuredStudy) -> None:
    rows, field = study.evaluate(BOTH), displacement(study)
    for name, point in POINTS.items():
        start = np.linalg.solve(AFFINE, [*point, 1])[:3]
        end = np.linalg.solve(MOVING, [point[0] + 0.7, *point[1:], 1])[:3]
        move = [ndimage.map_coordinates(part, start[:, None])[0] for part in field]
        expected = np.linalg.norm((start + move - end) * np.linalg.norm(MOVING[:3, :3], axis=0))
        row = find(rows, "learn2reg_tre", f"_{name}" if name[0] == "=" else name)
        assert row.after == pytest.approx(expected, abs=1e-5)


def test_learn2regs_spread_is_that_of_a_script_on_arrays(study: MeasuredStudy) -> None:
    rows, field = study.evaluate(BOTH), displacement(study)
    gradient = np.stack([np.stack(np.gradient(part)) for part in field])
    jacobian = np.linalg.det(np.moveaxis(gradient, (0, 1), (-2, -1)) + np.eye(3))[2:-2, 2:-2, 2:-2]
    row = find(rows, "learn2reg_sd_log_jacobian")
    assert row.after == pytest.approx(np.log(np.clip(jacobian + 3, 1e-9, 1e9)).std(), abs=1e-6)
    assert row.before == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("key", "label"), [(1, "gland"), (2, "cyst")])
def test_muregpros_figures_are_those_of_a_script_on_arrays(
    study: MeasuredStudy, key: int, label: str
) -> None:
    rows, coordinates = study.evaluate(BOTH), np.indices(SHAPE) + displacement(study)
    moving, fixed = ((labels(study, side) == key).astype(float) for side in ("moving", "fixed"))
    warped = ndimage.map_coordinates(moving, coordinates, order=1, mode="nearest")
    centroids = [np.argwhere(side > 0.5).mean(axis=0).astype(int) for side in (warped, fixed)]
    assert find(rows, "muregpro_tre", label).after == pytest.approx(
        np.abs(centroids[0] - centroids[1]).mean()
    )
    apart = [
        ndimage.distance_transform_edt(~(b > 0))[a > 0]
        for a, b in ((warped, fixed), (fixed, warped))
    ]
    expected = np.percentile(np.hstack(apart), 95)
    assert find(rows, "muregpro_hd95", label).after == pytest.approx(expected, abs=1e-6)
    if label == "gland":
        soft = 2 * (warped * fixed).sum() / (warped + fixed).sum()
        assert find(rows, "muregpro_dice", label).after == pytest.approx(soft, abs=1e-5)


def test_muregpro_measures_the_dice_of_the_first_label_alone(study: MeasuredStudy) -> None:
    assert {row.label for row in study.evaluate(BOTH) if row.metric == "muregpro_dice"} == {"gland"}


def test_unregistered_labels_are_compared_as_arrays(study: MeasuredStudy) -> None:
    row = find(study.evaluate(BOTH), "muregpro_unregistered_tre", "cyst")
    whole = [
        np.argwhere(labels(study, side) == 2).mean(axis=0).astype(int)
        for side in ("fixed", "moving")
    ]
    assert row.before == pytest.approx(np.abs(whole[0] - whole[1]).mean())
    assert row.after is None


def test_before_is_the_alignment_alone(tmp_path: Path) -> None:
    study, fixed, moving = (
        MeasuredStudy(tmp_path),
        balls(AFFINE, FIXED_BALLS),
        balls(MOVING, MOVING_BALLS),
    )
    study.add("q", still(), fixed=fixed, moving=moving)
    study.add("r", shifted(3.0), fixed=fixed, moving=moving)
    rows = [row for row in study.evaluate(BOTH) if row.metric in {"learn2reg_dice", "muregpro_tre"}]
    before = [(row.metric, row.label, row.before) for row in rows if row.pair == "r"]
    assert before == [(row.metric, row.label, row.after) for row in rows if row.pair == "q"]
    assert before != [(row.metric, row.label, row.after) for row in rows if row.pair == "r"]


def test_a_vanished_label_is_noted(tmp_path: Path) -> None:
    study = MeasuredStudy(tmp_path)
    study.add(
        "p", shifted(100.0), fixed=balls(AFFINE, FIXED_BALLS), moving=balls(MOVING, MOVING_BALLS)
    )
    rows = study.evaluate(BOTH)
    lost = find(rows, "learn2reg_hd95", "gland")
    assert (find(rows, "learn2reg_dice", "gland").after, lost.after, lost.note) == (
        0.0,
        None,
        "vanished",
    )
    error = find(rows, "muregpro_tre", "cyst")
    fixed = np.argwhere(labels(study, "fixed") == 2).mean(axis=0).astype(int)
    assert error.after == pytest.approx(fixed.mean())
    assert error.note == "vanished"


def test_a_label_that_one_side_lacks_counts_as_each_program_counts_it(tmp_path: Path) -> None:
    study = MeasuredStudy(tmp_path)
    only = balls(MOVING, {1: MOVING_BALLS[1]})
    study.add("p", still(), fixed=balls(AFFINE, FIXED_BALLS), moving=only)
    rows = study.evaluate(BOTH)
    for metric in ("learn2reg_dice", "learn2reg_hd95"):
        row = find(rows, metric, "cyst")
        assert (row.before, row.after, row.note) == (None, None, "absent in moving")
    fixed = np.argwhere(labels(study, "fixed") == 2).mean(axis=0).astype(int)
    row = find(rows, "muregpro_tre", "cyst")
    assert (row.before, row.after, row.note) == (fixed.mean(), fixed.mean(), "absent in moving")


def test_stacks_are_measured_channel_by_channel(tmp_path: Path) -> None:
    study = MeasuredStudy(tmp_path)
    fixed, moving = balls(AFFINE, FIXED_BALLS), balls(MOVING, MOVING_BALLS)
    study.add("p", bent(), fixed=fixed, moving=moving)
    by_map = study.evaluate(BOTH)
    for side, volume in (("fixed", fixed), ("moving", moving)):
        stack = np.stack([volume == 1, volume == 2, volume == 9], axis=-1).astype(np.uint8)
        path = study.root / f"p-{side}-labels.nii.gz"
        nib.nifti1.Nifti1Image(
            stack, nib.nifti1.Nifti1Image.from_filename(path).affine
        ).to_filename(path)
    names = (NamedLabel(name="gland", key=0, role="structure"), NamedLabel(name="cyst", key=1))
    stacked = BOTH.model_copy(update={"labels": LabelFiles(format="stack", names=names)})
    rows = {(row.metric, row.label): row for row in study.run(stacked, "1")}
    third = rows.pop(("muregpro_tre", "label-2"))
    assert (third.after, third.note) == (0, "absent in moving and absent in fixed")
    for row in by_map:
        other = rows[row.metric, row.label]
        assert replace(other, after=row.after, before=row.before) == row
        assert (other.before, other.after) == pytest.approx(
            (row.before, row.after), abs=1e-6, nan_ok=True
        )


def test_a_pair_without_labels_or_points_has_learn2regs_figures_of_its_field(
    tmp_path: Path,
) -> None:
    study = MeasuredStudy(tmp_path)
    study.add("p", bent(), fixed=None, moving=None)
    rows = [row for row in study.evaluate(BOTH) if definition(row.metric).family != "strict"]
    assert {row.metric for row in rows} == {"learn2reg_sd_log_jacobian", "learn2reg_foldings"}
    assert not any(math.isnan(row.after or 0) for row in rows)
