"""What evaluation carries over, from the stage itself."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from builders.measured_pairs import AFFINE, MAP, MOVING, SHAPE, MeasuredStudy, bent, still
from builders.row_files import row_file
from tenter.errors import DataError
from tenter.formats import volumes
from tenter.formats.points import read_points
from tenter.metrics.regions import Grid
from tenter.records import MetricRow
from tenter.registration.warped_files import POINT_COLUMNS, write_mapped_points, write_warped_labels
from tenter.spatial import pull
from tenter.stages.evaluate import evaluate

POINTS = MAP.model_copy(update={"mapped_points": True})
FIXED = {"apex": (1.0, 2.0, 3.0), "base": (-2.0, 0.5, -4.0), "=lone": (0.0, 0.0, 0.0)}
OWN = {"apex": (4.0, 2.0, 7.0), "base": (-2.0, 0.0, -4.0), "other": (1.0, 1.0, 1.0)}


@pytest.fixture
def study(tmp_path: Path) -> MeasuredStudy:
    found = MeasuredStudy(tmp_path)
    found.add("p", bent(), fixed=None, moving=None)
    found.points("p", "fixed", FIXED)
    found.points("p", "moving", OWN)
    return found


def table(study: MeasuredStudy) -> list[dict[str, str]]:
    with (study.root / "mapped/p.tsv").open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_mapped_points_are_those_of_simpleitk(study: MeasuredStudy) -> None:
    study.evaluate(POINTS)
    transform = sitk.ReadTransform(str(study.root / "fields/p/transform.h5"))
    for name, point in zip(FIXED, read_points(study.root / "mapped/p.tsv"), strict=True):
        x, y, z = FIXED[name]
        found = transform.TransformPoint([-x, -y, z])
        assert point.xyz == pytest.approx((-found[0], -found[1], found[2]), abs=1e-5)


def test_errors_beside_mapped_points_are_those_of_the_metrics(study: MeasuredStudy) -> None:
    rows: list[MetricRow] = study.evaluate(POINTS)
    after = {row.label: row.after for row in rows if row.metric == "point_tre"}
    found = {row["label"]: row for row in table(study)}
    assert float(found["apex"]["error_mm"]) == pytest.approx(after["apex"], abs=1e-6)
    assert [float(found["base"][f"moving_{axis}"]) for axis in "xyz"] == list(OWN["base"])
    assert [float(found["base"][f"fixed_{axis}"]) for axis in "xyz"] == list(FIXED["base"])
    assert (found["_=lone"]["error_mm"], found["_=lone"]["moving_x"]) == ("", "")
    assert "other" not in found


def test_points_are_mapped_where_the_moving_image_has_none(tmp_path: Path) -> None:
    write_mapped_points(FIXED, {}, bent(), tmp_path / "a.tsv")
    head, *rows = (line.split("\t") for line in (tmp_path / "a.tsv").read_text().splitlines())
    assert tuple(head) == POINT_COLUMNS
    assert [row[7:11] for row in rows] == [[""] * 4] * 3


def test_points_that_a_pair_no_longer_has_do_not_stay(study: MeasuredStudy) -> None:
    study.evaluate(POINTS)
    for side in ("fixed", "moving"):
        del study.rows[0][f"{side}_points"]
    study.evaluate(POINTS)
    assert not (study.root / "mapped/p.tsv").exists()


def test_points_are_not_written_where_settings_do_not_ask(study: MeasuredStudy) -> None:
    study.evaluate(POINTS)
    study.evaluate(MAP)
    assert not (study.root / "mapped/p.tsv").exists()


def test_a_pair_without_points_has_no_table(study: MeasuredStudy) -> None:
    study.add("q", still(), fixed=None, moving=None)
    study.evaluate(POINTS)
    assert [path.name for path in (study.root / "mapped").iterdir()] == ["p.tsv"]


def test_the_folder_of_what_settings_ask_for_must_be_said(study: MeasuredStudy) -> None:
    study.evaluate(MAP)
    with pytest.raises(DataError, match="--mapped-points"):
        evaluate(
            rows=row_file(study.root, study.root / "manifest.tsv"), fields=study.root / "table.tsv",
            transforms=study.root / "fields", model="m", fold="0", settings=POINTS, code="c",
            output=study.root / "metrics.tsv",
        )  # fmt: skip


def test_identical_points_have_no_error(tmp_path: Path) -> None:
    write_mapped_points({"a": (1.0, 2.0, 3.0)}, {"a": (1.0, 2.0, 3.0)}, still(), tmp_path / "a.tsv")
    row = (tmp_path / "a.tsv").read_text().splitlines()[1].split("\t")
    assert row == ["a", *["1.000000", "2.000000", "3.000000"] * 3, "0.000000", "RAS", "mm"]


def test_labels_are_carried_slab_by_slab_without_a_seam(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(0).integers(0, 5, SHAPE).astype(np.int32)
    labels = volumes.LabelVolume(values, MOVING, (1, 2, 3, 4))
    for name, voxels in (("whole", 10**6), ("slabs", SHAPE[1] * SHAPE[2])):
        monkeypatch.setattr(pull, "SLAB_VOXELS", voxels)
        write_warped_labels(labels, Grid(AFFINE, SHAPE), bent(), tmp_path / f"{name}.nii")
    assert (tmp_path / "whole.nii").read_bytes() == (tmp_path / "slabs.nii").read_bytes()
