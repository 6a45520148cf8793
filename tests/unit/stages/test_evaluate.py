"""Measurement of small pairs from files, against SimpleITK and hand calculation."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

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
from tenter.errors import DataError
from tenter.formats import transforms, volumes
from tenter.records import MetricRow
from tenter.spatial.transform import Transform


@pytest.fixture
def study(tmp_path: Path) -> MeasuredStudy:
    return MeasuredStudy(tmp_path)


def find(rows: list[MetricRow], metric: str, label: str = "", fold: str = "1") -> MetricRow:
    (row,) = (row for row in rows if (row.metric, row.label, row.fold) == (metric, label, fold))
    return row


def test_before_is_the_alignment_alone(study: MeasuredStudy) -> None:
    fixed, moving = balls(AFFINE, FIXED_BALLS), balls(MOVING, MOVING_BALLS)
    study.add("p", shifted(3.0), fixed=fixed, moving=moving)
    study.add("q", still(), fixed=fixed, moving=moving)
    rows = study.evaluate()
    before = [row.before for row in rows if row.pair == "p" and row.label]
    without = [row.after for row in rows if row.pair == "q" and row.label]
    assert before == pytest.approx(without, abs=1e-9)
    assert before != pytest.approx(
        [row.after for row in rows if row.pair == "p" and row.label], abs=0.01
    )


def test_a_field_that_undoes_a_shift_brings_the_error_to_nothing(study: MeasuredStudy) -> None:
    fixed = np.zeros(SHAPE, dtype=np.uint8)
    fixed[6:10, 6:10, 6:9] = 2
    study.add("p", shifted(4.0), fixed=fixed, moving=fixed)
    moved = AFFINE.copy()
    moved[0, 3] += 4.0
    volumes.write_labels(study.root / "p-moving-labels.nii.gz", fixed, moved)
    rows = study.evaluate()
    assert find(rows, "tre", "cyst").before == pytest.approx(4.0, abs=1e-4)
    assert (find(rows, "tre", "cyst").after, find(rows, "dice", "cyst").after) == pytest.approx(
        (0, 1), abs=1e-6
    )


def test_surfaces_are_measured_for_structures_alone(study: MeasuredStudy) -> None:
    study.add("p", still(), fixed=balls(AFFINE, FIXED_BALLS), moving=balls(MOVING, MOVING_BALLS))
    measured = {(row.label, row.metric) for row in study.evaluate()}
    assert {("gland", "hd95"), ("gland", "surface_distance")} <= measured
    assert ("cyst", "hd95") not in measured


def test_surfaces_can_be_left_out(study: MeasuredStudy) -> None:
    study.add("p", still(), fixed=balls(AFFINE, FIXED_BALLS), moving=balls(MOVING, MOVING_BALLS))
    settings = MAP.model_copy(update={"evaluation": Evaluation(surface_metrics=False)})
    assert "hd95" not in {row.metric for row in study.evaluate(settings)}


def test_the_error_of_a_case_is_the_root_mean_square_over_its_landmarks(
    study: MeasuredStudy,
) -> None:
    fixed, moving = FIXED_BALLS | {5: (-4.0, -3.0, -6.0)}, MOVING_BALLS | {5: (-4.0, -1.0, -6.0)}
    study.add("p", still(), fixed=balls(AFFINE, fixed), moving=balls(MOVING, moving))
    rows = study.evaluate()
    errors = [find(rows, "tre", label).after for label in ("cyst", "lump")]
    assert find(rows, "rms_tre").after == pytest.approx(
        np.sqrt(np.mean(np.square(np.array(errors, dtype=float))))
    )


def test_a_vanished_label_is_kept_as_the_worst(study: MeasuredStudy) -> None:
    study.add(
        "p", shifted(100.0), fixed=balls(AFFINE, FIXED_BALLS), moving=balls(MOVING, MOVING_BALLS)
    )
    rows = study.evaluate()
    by_metric = {
        row.metric: row for row in rows if row.label in {"gland", ""} and row.role != "field"
    }
    assert {name: row.after for name, row in by_metric.items()} == {
        "dice": 0.0, "tre": None, "hd95": None, "surface_distance": None, "rms_tre": None
    }  # fmt: skip
    assert {row.note for row in by_metric.values()} == {"vanished"}


def test_a_label_that_the_alignment_loses_is_noted_apart(study: MeasuredStudy) -> None:
    lost = still()
    lost.alignment[0, 3] = 100.0
    back = shifted(-100.0)
    transform = Transform(lost.alignment, back.field, back.affine)
    study.add("p", transform, fixed=balls(AFFINE, FIXED_BALLS), moving=balls(MOVING, MOVING_BALLS))
    row = find(study.evaluate(), "tre", "gland")
    assert (row.before, row.note) == (None, "empty before")
    assert row.after is not None


def test_a_label_that_one_side_lacks_is_counted_not_measured(study: MeasuredStudy) -> None:
    moving = balls(MOVING, {1: MOVING_BALLS[1], 5: MOVING_BALLS[2]})
    study.add("p", still(), fixed=balls(AFFINE, FIXED_BALLS), moving=moving)
    rows = study.evaluate()
    lone = {
        (row.label, row.metric, row.after, row.note)
        for row in rows
        if row.label in {"cyst", "lump"}
    }
    assert lone == {
        ("cyst", "dice", None, "absent in moving"),
        ("lump", "dice", None, "absent in fixed"),
    }
    assert "rms_tre" not in {row.metric for row in rows}


def test_a_pair_without_labels_has_the_figures_of_its_field(study: MeasuredStudy) -> None:
    study.add("p", bent(), fixed=None, moving=None)
    rows = study.evaluate()
    assert {row.metric for row in rows} == {"folding", "ndv", "sd_log_jacobian"}
    assert {row.before for row in rows} == {0.0}


def turned(points: np.ndarray, voxel: np.ndarray) -> float:
    """Volume of all tetrahedra at a voxel that are turned inside out, in voxels;
    each counts by half.
    """
    total = 0.0
    corners = [np.diag(signs) for signs in itertools.product((1, -1), repeat=3)]
    ahead = np.array([[-1, 1, 0], [0, 1, 1], [-1, 0, 1]])  # towards R, A and S
    for steps in (*corners, ahead, -ahead[[0, 2, 1]]):
        ends = [points[tuple(voxel + step)] - points[tuple(voxel)] for step in steps]
        volume = np.linalg.det(ends) / 6 / abs(np.linalg.det(AFFINE[:3, :3]))
        total += (
            max(0.0, -volume * np.sign(np.linalg.det(steps) * np.linalg.det(AFFINE[:3, :3]))) / 2
        )
    return total


def test_non_diffeomorphic_volume_is_that_of_tetrahedra_one_by_one(study: MeasuredStudy) -> None:
    rough = bent()
    rough.field.mul_(8)
    study.add("p", rough, fixed=None, moving=None)
    row = find(study.evaluate(), "ndv")
    index = np.argwhere(np.ones(SHAPE))
    world = index @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    mapped = transforms.read_transform(study.root / "fields/p/transform.h5").map_points(world)
    inner = index[((index > 0) & (index < np.array(SHAPE) - 1)).all(axis=1)]
    volume = sum(turned(mapped.reshape(*SHAPE, 3), voxel) for voxel in inner)
    assert row.after == pytest.approx(100 * volume / len(inner), rel=1e-4)
    assert (row.before, row.unit) == (0.0, "%")


def test_an_alignment_that_mirrors_turns_all_volume(study: MeasuredStudy) -> None:
    base = still()
    mirror = np.diag([-1.5, 1.0, 1.0, 1.0])
    study.add("p", Transform(mirror, base.field, base.affine), fixed=None, moving=None)
    row = find(study.evaluate(), "ndv")
    assert row.before == 150.0
    assert row.after == pytest.approx(150.0, rel=1e-5)


def test_points_are_mapped_into_the_moving_space(study: MeasuredStudy) -> None:
    study.add("p", shifted(3.0), fixed=None, moving=None)
    study.points("p", "fixed", {"a": (1.0, 2.0, 3.0), "=b": (0.0, 0.0, 0.0), "c": (0.0, 0.0, 0.0)})
    study.points("p", "moving", {"a": (4.0, 2.0, 7.0), "=b": (3.0, 0.0, 0.0)})
    rows = study.evaluate()
    assert (
        find(rows, "point_tre", "a").before,
        find(rows, "point_tre", "a").after,
    ) == pytest.approx((5, 4), abs=1e-5)
    assert find(rows, "point_tre", "_=b").after == pytest.approx(0, abs=1e-5)
    assert find(rows, "point_tre", "c").note == "absent in moving"


def test_tested_pairs_are_measured_for_each_member_and_their_ensemble(study: MeasuredStudy) -> None:
    study.add(
        "p",
        shifted(1.0),
        fixed=balls(AFFINE, FIXED_BALLS),
        moving=balls(MOVING, MOVING_BALLS),
        kind="test",
    )
    study.register("p", shifted(0.0), "fold-0")
    study.register("p", shifted(2.0), "fold-1")
    rows = study.evaluate(fold="test")
    assert {(row.fold, row.set) for row in rows} == {
        ("ensemble", "test"),
        ("0", "test"),
        ("1", "test"),
    }
    values = {find(rows, "tre", "gland", fold).after for fold in ("ensemble", "0", "1")}
    assert len(values) == 3


def test_pairs_of_an_applied_model_are_tested_whatever_their_set(study: MeasuredStudy) -> None:
    study.add("p", still(), fixed=None, moving=None)
    assert {(row.fold, row.set) for row in study.evaluate(fold="test")} == {("ensemble", "test")}


@pytest.mark.parametrize(
    ("kind", "fold", "expected"), [("cv", "1", ("1", "cv")), ("test", "test", ("ensemble", "test"))]
)
def test_members_of_several_models_are_measured_where_these_register(
    study: MeasuredStudy, kind: str, fold: str, expected: tuple[str, str]
) -> None:
    study.add(
        "p",
        shifted(1.0),
        fixed=balls(AFFINE, FIXED_BALLS),
        moving=balls(MOVING, MOVING_BALLS),
        kind=kind,
    )
    rows = study.evaluate(fold=fold)
    study.register("p", shifted(0.0), "unet/fold-1")
    study.register("p", shifted(2.0), "unet-seed1/fold-1")
    assert {(row.fold, row.set) for row in rows} == {expected}
    assert study.evaluate(fold=fold) == rows


def test_stacks_are_measured_label_by_label(study: MeasuredStudy) -> None:
    stacks = {
        side: np.stack([(labels == key).astype(np.float32) for key in (1, 2)])
        for side, labels in (
            ("fixed", balls(AFFINE, FIXED_BALLS)),
            ("moving", balls(MOVING, MOVING_BALLS)),
        )
    }
    names = (NamedLabel(name="gland", key=0, role="structure"), NamedLabel(name="cyst", key=1))
    study.add("p", bent(), fixed=stacks["fixed"], moving=stacks["moving"])
    study.add("q", bent(), fixed=balls(AFFINE, FIXED_BALLS), moving=balls(MOVING, MOVING_BALLS))
    settings = MAP.model_copy(update={"labels": LabelFiles(format="stack", names=names)})
    row, study.rows = study.rows[1], study.rows[:1]
    of_stack = [(row.metric, row.label, row.after) for row in study.evaluate(settings)]
    study.rows = [row]
    of_map = [(row.metric, row.label, row.after) for row in study.evaluate()]
    assert of_stack == of_map


def test_labels_on_a_grid_of_their_own_are_measured_there(study: MeasuredStudy) -> None:
    study.add("p", bent(), fixed=balls(AFFINE, FIXED_BALLS), moving=balls(MOVING, MOVING_BALLS))
    whole = study.evaluate()
    coarse = AFFINE.copy()
    coarse[:3, 3] += coarse[:3, :3] @ [1, 2, 1]
    cut = balls(AFFINE, FIXED_BALLS)[1:, 2:, 1:]
    volumes.write_labels(study.root / "p-fixed-labels.nii.gz", cut, coarse)
    again = study.evaluate()
    assert [row.after for row in again] == pytest.approx([row.after for row in whole], abs=1e-9)


def test_warped_labels_of_a_map_are_nearest_values(study: MeasuredStudy) -> None:
    study.add("p", bent(), fixed=balls(AFFINE, FIXED_BALLS), moving=balls(MOVING, MOVING_BALLS))
    study.evaluate(MAP.model_copy(update={"warped_labels": True}))
    moving = sitk.ReadImage(str(study.root / "p-moving-labels.nii.gz"))
    fixed = sitk.ReadImage(str(study.root / "p-fixed-labels.nii.gz"))
    read = sitk.ReadTransform(str(study.root / "fields/p/transform.h5"))
    expected = sitk.GetArrayFromImage(
        sitk.Resample(moving, fixed, read, sitk.sitkNearestNeighbor, 0)
    )
    warped = sitk.GetArrayFromImage(sitk.ReadImage(str(study.root / "warped/p.nii.gz")))
    np.testing.assert_array_equal(warped, expected)


def test_warped_labels_of_a_stack_stay_soft(study: MeasuredStudy) -> None:
    stack = np.stack([balls(affine, FIXED_BALLS) == 1 for affine in (MOVING, MOVING)]).astype(
        np.float32
    )
    stack[1] *= 0.5
    study.add("p", bent(), fixed=stack, moving=stack)
    settings = MAP.model_copy(update={"labels": LabelFiles(format="stack"), "warped_labels": True})
    study.evaluate(settings)
    warped = volumes.read_labels(study.root / "warped/p.nii.gz", settings.labels)
    np.testing.assert_allclose(warped.array[1], warped.array[0] / 2, atol=0.005)
    assert np.count_nonzero((warped.array[0] > 0.1) & (warped.array[0] < 0.9)) > 0


def test_bad_pairs_are_all_named_and_no_table_is_left(study: MeasuredStudy) -> None:
    for name in ("good", "absent", "torn"):
        study.add(
            name, still(), fixed=balls(AFFINE, FIXED_BALLS), moving=balls(MOVING, MOVING_BALLS)
        )
    (study.root / "absent-fixed-labels.nii.gz").unlink()
    torn = study.root / "torn-moving-labels.nii.gz"
    torn.write_bytes(torn.read_bytes()[:60])
    with pytest.raises(DataError, match=r"(?s)absent: .*torn: ") as raised:
        study.evaluate()
    assert "good:" not in str(raised.value)
    assert not (study.root / "metrics.tsv").exists()


def test_a_transform_that_is_not_the_one_written_is_refused(study: MeasuredStudy) -> None:
    study.add("p", still(), fixed=None, moving=None)
    study.evaluate()
    transforms.write_transform(study.root / "fields/p/transform.h5", shifted(1.0))
    with pytest.raises(DataError, match=r"p: .*transform\.h5"):
        study.run(MAP, "1")


def test_a_pair_that_was_not_registered_is_named(study: MeasuredStudy) -> None:
    study.add("p", still(), fixed=None, moving=None)
    study.entries.clear()
    with pytest.raises(DataError, match=r"p: .*p/transform\.h5: is not in the table"):
        study.evaluate()
