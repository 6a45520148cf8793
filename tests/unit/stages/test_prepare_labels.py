from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from builders.row_files import row_file
from tenter import config, files, tables
from tenter.cases import case_files
from tenter.errors import DataError
from tenter.formats import volumes
from tenter.records import Label
from tenter.stages.plan import plan
from tenter.stages.prepare_images import prepare_images
from tenter.stages.prepare_labels import prepare_labels

MakeCohort = Any
Cohort = Any
NAMED = {"names": [{"name": "gland", "key": 1, "role": "structure"}]}


def prepare(
    cohort: Cohort, root: Path, labels: dict[str, Any] | None = None, **rules: object
) -> Path:
    """Plan a cohort and prepare its images and labels; the folder of cases."""
    chosen = config.PlanRules.model_validate(rules)
    common: dict[str, Any] = {
        "rows": row_file(root, cohort.manifest, cohort.ids),
        "cases": root / "cases",
        "code": "c1",
    }
    plan(rows=common["rows"], settings=chosen, output=root / "plan.json")
    images: dict[str, Any] = {"plan": root / "plan.json", "table": root / "images.tsv"}
    prepare_images(settings=config.ImageSettings(plan=chosen), **images, **common)
    settings = config.LabelSettings(labels=config.LabelFiles.model_validate(labels or NAMED))
    prepare_labels(
        images=root / "images.tsv", settings=settings, table=root / "labels.tsv", **common
    )
    return root / "cases"


def said(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = files.read_json(folder / "labels.json")
    return value


def erase(path: Path, key: int) -> None:
    """Take one value out of a label map."""
    labels = volumes.read_labels(path, config.LabelFiles())
    volumes.write_labels(path, np.where(labels.values == key, 0, labels.values), labels.affine)


def test_on_their_own_grid_labels_stay_as_they_are(tiny_cohort: MakeCohort, tmp_path: Path) -> None:
    cohort = tiny_cohort()
    case = case_files.read_labels(prepare(cohort, tmp_path) / "pair00")
    original = nib.Nifti1Image.from_filename(cohort.file("pair00", "fixed_labels")).get_fdata()
    assert np.array_equal(case.fixed, [255 * (original == key) for key in (1, 2, 5)])


def test_labels_have_the_names_and_roles_of_the_configuration(
    tiny_cohort: MakeCohort, tmp_path: Path
) -> None:
    case = case_files.read_labels(prepare(tiny_cohort(), tmp_path) / "pair00")
    assert case.labels == (
        Label("gland", 1, "structure"),
        Label("label-2", 2, "landmark"),
        Label("label-5", 5, "landmark"),
    )


def test_moving_labels_are_itks_linear_resampling(
    tiny_cohort: MakeCohort, geometry: Any, tmp_path: Path
) -> None:
    cohort = tiny_cohort(moving=geometry(storage="LPS", degrees=20, spacing=(2.5, 2.2, 2.4)))
    case = case_files.read_labels(prepare(cohort, tmp_path) / "pair00")
    moving = sitk.ReadImage(str(cohort.file("pair00", "moving_labels")))
    grid = sitk.ReadImage(str(tmp_path / "cases" / "pair00" / "fixed.nii"))
    mask = sitk.Cast(moving == 1, sitk.sitkFloat64)
    inside = sitk.GetArrayFromImage(sitk.Resample(mask * 0 + 1, grid)).T > 0.5
    expected = sitk.GetArrayFromImage(sitk.Resample(mask, grid)).T
    assert np.abs(case.moving[0] / 255 - expected)[inside].max() < 1 / 255


@pytest.mark.parametrize("degrees", [0.0, 25.0])
@pytest.mark.parametrize("storage", ["LAS", "PIR"])
def test_storage_does_not_show_in_labels(
    tiny_cohort: MakeCohort,
    geometry: Any,
    tmp_path: Path,
    storage: str,
    degrees: float,
) -> None:
    cases = []
    for name, codes in (("plain", "RAS"), ("other", storage)):
        chosen = geometry(storage=codes, degrees=degrees, spacing=(1.7, 2.0, 2.9))
        cohort = tiny_cohort(name, pairs=1, fixed=chosen, moving=chosen)
        cases.append(
            case_files.read_labels(prepare(cohort, tmp_path / name, spacing_mm=2.6) / "pair00")
        )
    for side in ("moving", "fixed"):
        plain, other = (getattr(case, side).astype(int) for case in cases)
        assert np.abs(plain - other).max() <= 1
        assert (plain != other).mean() < 0.01


def test_a_stack_gives_the_same_case_as_a_map(tiny_cohort: MakeCohort, tmp_path: Path) -> None:
    as_map = prepare(tiny_cohort("map"), tmp_path / "map")
    stack = {"format": "stack"}
    as_stack = prepare(tiny_cohort("stack", labels="stack"), tmp_path / "stack", stack)
    # Channels 1 and 2 are the small spheres 2 and 5; the large one is hidden under them in a map.
    first, second = (
        case_files.read_labels(root / "pair01").moving[1:] for root in (as_map, as_stack)
    )
    assert np.array_equal(first, second)


def test_a_label_that_one_side_lacks_is_left_out_and_counted(
    tiny_cohort: MakeCohort, tmp_path: Path
) -> None:
    cohort = tiny_cohort()
    erase(cohort.file("pair00", "moving_labels"), 2)
    root = prepare(cohort, tmp_path)
    assert [label.key for label in case_files.read_labels(root / "pair00").labels] == [1, 5]
    assert said(root / "pair00")["left_out"] == [
        {"name": "label-2", "key": 2, "role": "landmark", "reason": "absent in moving"}
    ]
    assert len(case_files.read_labels(root / "pair01").labels) == 3


def test_an_empty_channel_is_left_out(tiny_cohort: MakeCohort, tmp_path: Path) -> None:
    cohort = tiny_cohort(pairs=1, labels="stack")
    path = cohort.file("pair00", "fixed_labels")
    stack = volumes.read_labels(path, config.LabelFiles(format="stack"))
    emptied = stack.array.astype(np.uint8)
    emptied[1] = 0
    volumes.write_labels(path, emptied, stack.affine)
    root = prepare(cohort, tmp_path, {"format": "stack"})
    assert [label.key for label in case_files.read_labels(root / "pair00").labels] == [0, 2]
    assert said(root / "pair00")["left_out"][0]["reason"] == "empty in fixed"


def test_a_label_beyond_the_grid_is_left_out_with_that_reason(
    tiny_cohort: MakeCohort, tmp_path: Path
) -> None:
    cohort = tiny_cohort(pairs=1)
    for side in case_files.SIDES:
        path = cohort.file("pair00", f"{side}_labels")
        labels = volumes.read_labels(path, config.LabelFiles())
        labels.values[0, 0, 0] = 9
        volumes.write_labels(path, labels.values, labels.affine)
    root = prepare(cohort, tmp_path, shape=(8, 8, 8))
    reasons = {label["key"]: label["reason"] for label in said(root / "pair00")["left_out"]}
    assert reasons == {9: "outside the grid in moving, outside the grid in fixed"}


def test_the_volume_of_a_small_label_survives_a_coarse_grid(
    tiny_cohort: MakeCohort, tmp_path: Path
) -> None:
    root = prepare(tiny_cohort(pairs=1), tmp_path, spacing_mm=4.0)
    landmark = said(root / "pair00")["labels"][1]["fixed"]
    assert landmark["file_voxels"] == 12
    assert landmark["file_mm3"] == pytest.approx(96.0)
    assert landmark["grid_mm3"] == pytest.approx(96.0, rel=0.15)
    assert case_files.read_labels(root / "pair00").fixed[1].max() > 64


def test_a_pair_without_label_files_has_a_sidecar_alone(
    tiny_cohort: MakeCohort, tmp_path: Path
) -> None:
    root = prepare(tiny_cohort(labels="none"), tmp_path)
    assert case_files.read_labels(root / "pair00").labels == ()
    assert [entry.file for entry in tables.read(tmp_path / "labels.tsv")] == [
        "pair00/labels.json",
        "pair01/labels.json",
    ]


def test_labels_off_their_image_are_refused_with_figures(
    tiny_cohort: MakeCohort, tmp_path: Path
) -> None:
    cohort = tiny_cohort()
    path = cohort.file("pair01", "fixed_labels")
    labels = volumes.read_labels(path, config.LabelFiles())
    shifted = labels.affine.copy()
    shifted[2, 3] += 2.0
    volumes.write_labels(path, labels.values, shifted)
    with pytest.raises(
        DataError, match=r"1 of 2 pairs failed(.|\n)*pair01.nii.gz: labels lie up to 2 mm"
    ):
        prepare(cohort, tmp_path)


def test_only_the_edited_pair_is_done_again(tiny_cohort: MakeCohort, tmp_path: Path) -> None:
    cohort = tiny_cohort()
    root = prepare(cohort, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*_labels.nii")}
    erase(cohort.file("pair01", "fixed_labels"), 5)
    prepare(cohort, tmp_path)
    unchanged = {path for path, time in before.items() if path.stat().st_mtime_ns == time}
    assert {path.parent.name for path in unchanged} == {"pair00"}


def test_a_changed_intensity_rule_leaves_labels_alone(
    tiny_cohort: MakeCohort, tmp_path: Path
) -> None:
    cohort = tiny_cohort()
    root = prepare(cohort, tmp_path)
    before = (root / "pair00" / "labels.json").stat().st_mtime_ns
    prepare(cohort, tmp_path, intensity="minmax")
    assert (root / "pair00" / "labels.json").stat().st_mtime_ns == before


def test_labels_that_were_taken_away_leave_no_files(
    tiny_cohort: MakeCohort, tmp_path: Path
) -> None:
    root = prepare(tiny_cohort(), tmp_path)
    prepare(tiny_cohort(labels="none"), tmp_path)
    assert not list(root.rglob("*_labels.nii"))


def test_damaged_images_of_a_case_are_refused(tiny_cohort: MakeCohort, tmp_path: Path) -> None:
    cohort = tiny_cohort()
    root = prepare(cohort, tmp_path)
    (root / "pair00" / "fixed.nii").write_bytes(b"x")
    with pytest.raises(DataError, match=r"pair00: .*fixed\.nii: has 1 bytes"):
        prepare_labels(
            rows=row_file(tmp_path, cohort.manifest, cohort.ids),
            images=tmp_path / "images.tsv",
            settings=config.LabelSettings(labels=config.LabelFiles()),
            code="c1",
            cases=root,
            table=tmp_path / "labels.tsv",
        )
