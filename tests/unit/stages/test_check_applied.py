"""What `check` says of a study that applies a finished model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from builders import applied_study, new_patient
from tenter import files, provenance
from tenter.cases import plans
from tenter.errors import InputError
from tenter.formats import volumes
from tenter.records import Fault
from tenter.stages.check import check
from tenter.study import Study

PLAN = replace(new_patient.PLAN, cohort={}, shape=(10, 12, 9))
"""Covers the patient's fixed image."""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results are relative to the working directory."""
    monkeypatch.chdir(tmp_path)


def write(folder: Path, change: dict[str, object] | None = None, **keys: object) -> Path:
    model_plan = replace(PLAN, **(change or {}))  # type: ignore[arg-type] # by name
    for fold in "01":
        new_patient.write_model(folder / "model", fold, model_plan)
    return applied_study.write_study(folder, **keys)  # type: ignore[arg-type] # by name


def faults_of(config: Path) -> tuple[Fault, ...]:
    with pytest.raises(InputError) as caught:
        check(config)
    return caught.value.faults


@pytest.mark.parametrize("alignment", ["header", "centre", "mass"])
def test_a_sound_study_is_told_the_models_grid(tmp_path: Path, alignment: str) -> None:
    verdict = check(write(tmp_path, {"alignment": alignment}))
    assert "10 x 12 x 9 voxels of 2 x 2 x 2.5 mm" in str(verdict)
    assert [fault.message for fault in verdict.warnings if fault.column != "moving_image"] == []


def test_a_cohort_without_labels_is_sound_for_a_finished_model(tmp_path: Path) -> None:
    verdict = check(write(tmp_path))
    assert verdict.warnings == ()
    assert "no training" in str(verdict)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"alignment": "header"}, "is header, but the model {} was trained with centre"),
        ({"spacing_mm": 6}, "is 6, but the model {} was trained with 2 x 2 x 2.5"),
        ({"shape": [10, 12, 8]}, "is 10 x 12 x 8, but the model {} was trained with 10 x 12 x 9"),
        ({"intensity": "minmax"}, "is minmax, but the model {} was trained with zscore"),
        ({"spacing_mm": [2, 2, 2]}, "is 2 x 2 x 2, but the model {} was trained with 2 x 2 x 2.5"),
    ],
)
def test_a_contradicting_key_is_refused_and_the_fix_is_true(
    tmp_path: Path, stated: dict[str, object], message: str
) -> None:
    (key,) = stated
    (fault,) = faults_of(write(tmp_path, plan=stated))
    assert (fault.file, fault.column) == (str(tmp_path / "applied.yaml"), f"plan.{key}")
    assert fault.message == message.format(tmp_path / "model")
    assert fault.fix == f"remove `{key}` from `plan`: the plan comes from the model"
    check(write(tmp_path, plan={}))


def test_everything_is_told_in_one_pass(tmp_path: Path) -> None:
    config = write(tmp_path, plan={"alignment": "header", "intensity": "minmax"})
    (tmp_path / "us.nii.gz").unlink()
    (tmp_path / "model/fold-1/model.safetensors").unlink()
    config.write_text(f"{config.read_text(encoding='utf-8')}mode: 1\n", encoding="utf-8")
    columns = {fault.column for fault in faults_of(config)}
    assert columns == {"mode", "plan.alignment", "plan.intensity", "fixed_image", None}


def test_the_models_alignment_decides_what_a_pair_needs(tmp_path: Path) -> None:
    (fault,) = faults_of(write(tmp_path, {"alignment": "file"}))
    assert (fault.row, fault.column) == (2, "initial_transform")
    check(write(tmp_path, {"alignment": "file"}, start=True))


@pytest.mark.parametrize(
    ("change", "column", "message"),
    [
        (
            {"moving_channels": 2},
            "moving_image",
            "moving images have 1 channels, the model's have 2",
        ),
        ({"fixed_channels": 2}, "fixed_image", "fixed images have 1 channels, the model's have 2"),
        ({"shape": (10, 12, 1)}, "fixed_image", "fixed images are a volume"),
        ({"shape": (1, 12, 9)}, "fixed_image", "fixed images are a volume"),
        ({"shape": (10, 1, 9)}, "fixed_image", "fixed images are a volume"),
    ],
)
def test_images_of_another_kind_than_the_models_are_refused(
    tmp_path: Path, change: dict[str, object], column: str, message: str
) -> None:
    (fault,) = faults_of(write(tmp_path, change))
    assert (fault.file, fault.column) == (str(tmp_path / "manifest.tsv"), column)
    assert fault.message.startswith(message)


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_text("", encoding="utf-8")


@pytest.mark.parametrize("spoil", [remove, empty])
@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_damaged_model_is_refused_and_named(tmp_path: Path, name: str, spoil: object) -> None:
    config = write(tmp_path)
    spoil(tmp_path / "model/fold-1" / name)  # type: ignore[operator]
    (fault,) = faults_of(config)
    assert "fold-1" in f"{fault.file} {fault.message}"


def test_a_model_that_is_not_there_is_told_at_its_key(tmp_path: Path) -> None:
    (fault,) = faults_of(write(tmp_path, model="mode"))
    assert (fault.file, fault.column) == (str(tmp_path / "applied.yaml"), "model")
    assert fault.message == f"{tmp_path / 'mode'} is not a folder"


def test_images_beyond_the_models_grid_are_warned_of(tmp_path: Path) -> None:
    (fault,) = check(write(tmp_path, {"shape": (4, 12, 9)})).warnings
    assert (fault.column, fault.severity) == ("model", "WARNING")
    assert (
        "reach up to 5.0 mm beyond the common grid" in fault.message
    )  # (9 - 4) voxels of 2 mm, two sides


def test_voxels_of_another_size_than_the_models_are_warned_of(tmp_path: Path) -> None:
    cohort = {
        "moving": {"median_spacing_mm": [2, 2, 2]},
        "fixed": {"median_spacing_mm": [0.9, 2, 2.5]},
    }
    (fault,) = check(write(tmp_path, {"cohort": cohort})).warnings
    assert fault.column == "fixed_image"
    assert (
        "voxels of 2 x 2 x 2.5 mm (median), those that the model was trained on had 0.9 x"
        in fault.message
    )


def test_a_plan_that_was_edited_by_hand_is_warned_of(tmp_path: Path) -> None:
    config = write(tmp_path)
    path = tmp_path / "plan.json"
    plans.write_plan(path, replace(PLAN, alignment="mass"))
    provenance.record(path, "plan", Study.load(config).settings("plan"), "c")
    (fault,) = check(config, plan=path).warnings
    assert (fault.file, fault.fix) == (str(path), "delete it: the next run writes it again")
    files.write_json(path, files.read_json(path) | {"alignment": "centre"})
    assert check(config, plan=path).warnings == ()


def test_a_plan_from_before_the_model_changed_is_made_anew(tmp_path: Path) -> None:
    config = write(tmp_path)
    path = tmp_path / "plan.json"
    plans.write_plan(path, replace(PLAN, alignment="mass"))
    provenance.record(path, "plan", '{"alignment": "mass"}', "c")
    assert check(config, plan=path).warnings == ()


def test_a_slice_model_registers_slices(tmp_path: Path) -> None:
    config = write(tmp_path, {"shape": (10, 12, 1), "alignment": "centre"})
    for path in (tmp_path / "mr.nii.gz", tmp_path / "us.nii.gz"):
        image = volumes.read_image(path)
        volumes.write_image(path, np.ascontiguousarray(image.array[..., :1]), image.affine)
    assert "10 x 12 x 1 voxels" in str(check(config))
