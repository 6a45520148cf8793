from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from builders import dicoms
from builders.row_files import row_file
from tenter import config, files, tables
from tenter.cases import case_files, plans
from tenter.errors import DataError
from tenter.formats import volumes
from tenter.records import Plan
from tenter.stages.plan import plan
from tenter.stages.prepare_images import prepare_images

MakeCohort = Any
Cohort = Any


def prepare(cohort: Cohort, root: Path, code: str = "c1", **rules: object) -> Path:
    """Plan and prepare a cohort; the folder of cases."""
    chosen = config.PlanRules.model_validate(rules)
    if not (root / "plan.json").exists():
        plan(rows=row_file(root, cohort.manifest), settings=chosen, output=root / "plan.json")
    prepare_images(
        rows=row_file(root, cohort.manifest, cohort.ids),
        plan=root / "plan.json",
        settings=config.ImageSettings(plan=chosen),
        code=code,
        cases=root / "cases",
        table=root / "images.tsv",
    )
    return root / "cases"


def changed(folder: Path, before: dict[Path, int]) -> set[str]:
    """Pairs whose files were written since `before` (name to time)."""
    return {path.parent.name for path, time in times(folder).items() if before.get(path) != time}


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def zscored(image: np.ndarray) -> np.ndarray:
    scored: np.ndarray = (image - image.mean()) / image.std()
    return scored


def test_on_its_own_grid_the_fixed_image_is_only_normalised(
    tiny_cohort: MakeCohort, tmp_path: Path
) -> None:
    cohort = tiny_cohort()
    case = case_files.read_images(prepare(cohort, tmp_path) / "pair00")
    original = nib.Nifti1Image.from_filename(cohort.file("pair00", "fixed_image"))
    assert np.allclose(case.fixed[0], zscored(original.get_fdata()), atol=1e-5)
    assert np.allclose(case.affine, original.affine, atol=1e-6)


def test_the_moving_image_is_itks_linear_resampling(
    tiny_cohort: MakeCohort, geometry: Any, tmp_path: Path
) -> None:
    cohort = tiny_cohort(moving=geometry(storage="LPS", degrees=20, spacing=(2.5, 2.2, 2.4)))
    case = case_files.read_images(prepare(cohort, tmp_path) / "pair00")
    moving = sitk.ReadImage(str(cohort.file("pair00", "moving_image")), sitk.sitkFloat64)
    grid = sitk.ReadImage(str(tmp_path / "cases" / "pair00" / "fixed.nii"))
    array = sitk.GetArrayFromImage(moving)
    inside = sitk.GetArrayFromImage(sitk.Resample(moving * 0 + 1, grid)).T > 0.5
    expected = sitk.GetArrayFromImage(sitk.Resample(moving, grid)).T
    assert inside.mean() > 0.5
    assert np.allclose(
        case.moving[0][inside], ((expected - array.mean()) / array.std())[inside], atol=1e-4
    )


@pytest.mark.parametrize("degrees", [0.0, 25.0])
@pytest.mark.parametrize("storage", ["LAS", "LPS", "PIR"])
def test_storage_does_not_show_in_a_case(
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
            case_files.read_images(prepare(cohort, tmp_path / name, spacing_mm=2.6) / "pair00")
        )
    plain, other = cases
    assert np.allclose(plain.affine, other.affine, atol=1e-4)
    assert np.abs(plain.fixed - other.fixed).max() < 1e-4
    assert np.abs(plain.moving - other.moving).max() < 1e-4
    assert other.fixed_source.shape != plain.fixed_source.shape or storage != "PIR"


def test_centre_alignment_puts_centre_on_centre(tiny_cohort: MakeCohort, tmp_path: Path) -> None:
    cohort = tiny_cohort(pairs=1)
    path = cohort.file("pair00", "moving_image")
    moving = volumes.read_image(path)
    there = case_files.read_images(
        prepare(cohort, tmp_path / "here", alignment="centre") / "pair00"
    )
    shifted = moving.affine.copy()
    shifted[:3, 3] += (300.0, -40.0, 7.0)
    volumes.write_image(path, moving.array, shifted)
    away = case_files.read_images(prepare(cohort, tmp_path / "away", alignment="centre") / "pair00")
    assert np.allclose(away.alignment[:3, 3] - there.alignment[:3, 3], (300, -40, 7), atol=1e-4)
    assert np.allclose(away.moving, there.moving, atol=1e-4)


def test_alignment_by_mass_puts_centre_of_mass_on_centre_of_mass(
    tiny_cohort: MakeCohort, tmp_path: Path
) -> None:
    cohort = tiny_cohort(pairs=1)
    path = cohort.file("pair00", "fixed_image")
    fixed = volumes.read_image(path)
    shifted = fixed.affine.copy()
    shifted[:3, 3] += (300.0, -40.0, 7.0)
    # The moving image is the fixed one elsewhere, with 20 mm of empty space on one side.
    padded = np.pad(
        fixed.array, [(0, 0), (0, 10), (0, 0), (0, 0)], constant_values=fixed.array.min()
    )
    volumes.write_image(cohort.file("pair00", "moving_image"), padded, shifted)
    case = case_files.read_images(prepare(cohort, tmp_path, alignment="mass") / "pair00")
    assert np.allclose(case.alignment[:3, 3], (300, -40, 7), atol=1e-3)


def test_a_dicom_series_makes_the_case_that_its_nifti_makes(
    tiny_cohort: MakeCohort, tmp_path: Path
) -> None:
    cohort = tiny_cohort(pairs=1)
    path = cohort.file("pair00", "moving_image")
    original = volumes.read_image(path)
    integers = np.rint(original.array[0]).astype(np.int16)
    volumes.write_image(path, integers, original.affine)
    plain = case_files.read_images(prepare(cohort, tmp_path / "nifti") / "pair00")
    turned = original.affine @ np.diag([1, 1, -1, 1])
    turned[:, 3] = original.affine @ [0, 0, integers.shape[2] - 1, 1]
    dicoms.write_series(cohort.folder / "series", integers[..., ::-1], turned)
    cohort.manifest.write_text(
        cohort.manifest.read_text().replace("moving/pair00.nii.gz", "series")
    )
    root = prepare(cohort, tmp_path / "dicom")
    case = case_files.read_images(root / "pair00")
    assert np.abs(case.moving - plain.moving).max() < 1e-5
    assert dicoms.PATIENT.encode() not in b"".join(path.read_bytes() for path in root.glob("*/*"))


def test_a_changed_slice_makes_its_pair_again(tiny_cohort: MakeCohort, tmp_path: Path) -> None:
    cohort = tiny_cohort()
    noise = np.random.default_rng(0).integers(0, 99, (6, 5, 4)).astype(np.int16)
    dicoms.write_series(cohort.folder / "series", noise, np.diag([5.0, 5, 5, 1]))
    cohort.manifest.write_text(
        cohort.manifest.read_text().replace("moving/pair01.nii.gz", "series")
    )
    root = prepare(cohort, tmp_path)
    before = times(root)
    path = cohort.folder / "series" / dicoms.name_of(2)
    path.write_bytes(path.read_bytes()[:-2] + b"\x07\x00")
    prepare(cohort, tmp_path)
    assert changed(root, before) == {"pair01"}


def test_a_transform_file_maps_fixed_points_to_moving_points(
    tiny_cohort: MakeCohort, tmp_path: Path
) -> None:
    cohort = tiny_cohort(pairs=1)
    sitk.WriteTransform(
        sitk.TranslationTransform(3, (2.0, 4.0, -6.0)), str(cohort.folder / "t.tfm")
    )
    lines = cohort.manifest.read_text().splitlines()
    cohort.manifest.write_text(f"{lines[0]}\tinitial_transform\n{lines[1]}\tt.tfm\n")
    placed = case_files.read_images(prepare(cohort, tmp_path / "file", alignment="file") / "pair00")
    plain = case_files.read_images(prepare(cohort, tmp_path / "header") / "pair00")
    assert np.allclose(placed.alignment[:3, 3], (-2, -4, -6))
    assert np.allclose(placed.moving[0, 2:, 2:, 3:], plain.moving[0, 1:-1, :-2, :-3], atol=1e-4)


def test_a_pair_without_its_transform_is_named(tiny_cohort: MakeCohort, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2 of 2 pairs failed(.|\n)*pair01: .*initial_transform"):
        prepare(tiny_cohort(), tmp_path, alignment="file")


def test_the_table_names_every_file_and_verifies(tiny_cohort: MakeCohort, tmp_path: Path) -> None:
    root = prepare(tiny_cohort(), tmp_path)
    entries = tables.verified([tmp_path / "images.tsv"], root)
    names = [entry.file for entry in entries["pair01"]]
    assert names == ["pair01/moving.nii", "pair01/fixed.nii", "pair01/images.json"]


def test_nothing_is_written_twice(tiny_cohort: MakeCohort, tmp_path: Path) -> None:
    cohort = tiny_cohort()
    root = prepare(cohort, tmp_path)
    before, table = times(root), (tmp_path / "images.tsv").read_bytes()
    prepare(cohort, tmp_path)
    assert changed(root, before) == set()
    assert (tmp_path / "images.tsv").read_bytes() == table


def test_only_the_changed_pair_is_done_again(tiny_cohort: MakeCohort, tmp_path: Path) -> None:
    cohort = tiny_cohort()
    root = prepare(cohort, tmp_path)
    before = times(root)
    path = cohort.file("pair01", "moving_image")
    volume = volumes.read_image(path)
    volumes.write_image(path, volume.array[:, ::-1], volume.affine)
    prepare(cohort, tmp_path)
    assert changed(root, before) == {"pair01"}


@pytest.mark.parametrize("name", ["moving.nii", "images.json"])
def test_a_damaged_case_is_made_again(tiny_cohort: MakeCohort, tmp_path: Path, name: str) -> None:
    cohort = tiny_cohort()
    root = prepare(cohort, tmp_path)
    content = (root / "pair00" / name).read_bytes()
    (root / "pair00" / name).write_bytes(content[:-9])
    prepare(cohort, tmp_path)
    assert (root / "pair00" / name).read_bytes() == content


def test_other_code_makes_all_again(tiny_cohort: MakeCohort, tmp_path: Path) -> None:
    cohort = tiny_cohort()
    root = prepare(cohort, tmp_path)
    before = times(root)
    prepare(cohort, tmp_path, code="c2")
    assert changed(root, before) == {"pair00", "pair01"}


def test_figures_of_the_cohort_make_nothing_again(tiny_cohort: MakeCohort, tmp_path: Path) -> None:
    cohort = tiny_cohort()
    root = prepare(cohort, tmp_path)
    before, planned = times(root), plans.read_plan(tmp_path / "plan.json")
    planned.cohort["pairs"] = 99
    plans.write_plan(tmp_path / "plan.json", planned)
    prepare(cohort, tmp_path)
    assert changed(root, before) == set()


def test_one_bad_pair_does_not_stop_the_others(tiny_cohort: MakeCohort, tmp_path: Path) -> None:
    cohort = tiny_cohort()
    rows = row_file(tmp_path, cohort.manifest)
    plan(rows=rows, settings=config.PlanRules(), output=tmp_path / "plan.json")
    path = cohort.file("pair00", "fixed_image")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"1 of 2 pairs failed(.|\n)*pair00: .*truncated"):
        prepare(cohort, tmp_path)
    assert case_files.read_images(tmp_path / "cases" / "pair01").pair == "pair01"
    assert not (tmp_path / "images.tsv").exists()


def test_a_constant_image_is_refused(tiny_cohort: MakeCohort, tmp_path: Path) -> None:
    cohort = tiny_cohort(pairs=1)
    path = cohort.file("pair00", "moving_image")
    volumes.write_image(path, np.full((6, 6, 6), 7.0, np.float32), np.eye(4))
    with pytest.raises(DataError, match=r"moving/pair00.nii.gz: is constant"):
        prepare(cohort, tmp_path)


def test_an_image_with_other_channels_than_planned_is_refused(
    tiny_cohort: MakeCohort, tmp_path: Path
) -> None:
    plans.write_plan(
        tmp_path / "plan.json", Plan((4, 4, 4), (5.0, 5.0, 5.0), "zscore", "header", 2, 1)
    )
    with pytest.raises(DataError, match="has 1 channels, the plan 2"):
        prepare(tiny_cohort(pairs=1), tmp_path)


def test_the_sidecar_says_what_the_case_was_made_from(
    tiny_cohort: MakeCohort, tmp_path: Path
) -> None:
    cohort = tiny_cohort(pairs=1, sets=("test",))
    sidecar = files.read_json(prepare(cohort, tmp_path) / "pair00" / "images.json")
    assert (sidecar["pair"], sidecar["patients"], sidecar["set"]) == (
        "pair00",
        ["patient00"],
        "test",
    )
    assert sidecar["sources"]["fixed"] == files.sha256(cohort.file("pair00", "fixed_image"))
    assert sidecar["moving"]["shape"] == [13, 12, 11]
    assert str(cohort.folder) not in str(sidecar)
