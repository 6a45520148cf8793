"""`tenter register`: what it takes, refuses and says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from builders import new_patient
from tenter import files
from tenter.errors import DeviceError, InputError
from tenter.tools.register import register


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of two folds and a patient."""
    for fold in "01":
        new_patient.write_model(tmp_path / "tiny", fold)
    new_patient.write_images(tmp_path)
    return tmp_path


def run(folder: Path, out: str = "out", **flags: object) -> str:
    given: dict[str, object] = {
        "model": (folder / "tiny",),
        "moving": folder / "mr.nii.gz",
        "fixed": folder / "us.nii.gz",
        "out": folder / out,
        "threads": 1,
    }
    return register(**given | flags)  # type: ignore[arg-type] # checked at run time


def test_it_says_what_it_did_and_where_the_seconds_went(folder: Path) -> None:
    lines = run(folder).splitlines()
    assert lines[0] == f"{folder / 'mr.nii.gz'} registered to {folder / 'us.nii.gz'}"
    assert lines[1] == "model: tiny (2 folds averaged); alignment: centre"
    assert lines[2].startswith("displacement: mean ")
    assert "the folds differ by " in lines[2]
    assert lines[3].startswith(f"written to {folder / 'out'}: transform.h5, field.nii.gz, ")
    parts = ("import", "load model", "read", "prepare", "network", "measure", "write", "in all")
    places = [lines[4].index(part) for part in parts]
    assert places == sorted(places)


def test_one_fold_says_which(folder: Path) -> None:
    said = run(folder, model=(folder / "tiny/fold-1",)).splitlines()
    assert said[1] == "model: tiny/fold-1 (fold 1); alignment: centre"
    assert "folds differ" not in said[2]


def test_an_option_is_read_from_a_file_and_told(folder: Path) -> None:
    option = folder / "option.yaml"
    option.write_text(
        "poses: {count: 2, rotation_deg: 5}\nrefine: {steps: 3, images: [{name: gncc}]}\n"
    )
    lines = run(folder, test_time=option).splitlines()
    assert re.fullmatch(
        r"model: tiny \(2 folds averaged\); alignment: centre; 2 further poses averaged; "
        r"refined in 3 steps, loss [\d.]+ to [\d.]+",
        lines[1],
    )
    said = files.read_json(folder / "out/register.json")["test_time"]
    assert (said["members"], said["poses"], said["refine"]["steps"]) == (2, 2, 3)
    assert said["settings"]["refine"]["images"][0]["name"] == "gncc"
    assert "ensemble" not in said["settings"]


def test_without_an_option_the_record_says_so(folder: Path) -> None:
    run(folder)
    assert files.read_json(folder / "out/register.json")["test_time"] is None


def test_several_models_are_averaged(folder: Path) -> None:
    new_patient.write_model(folder / "tiny-seed1", "0", weight=0.2)
    lines = run(folder, model=(folder / "tiny", folder / "tiny-seed1")).splitlines()
    assert lines[1].startswith("model: tiny, tiny-seed1 (3 folds averaged)")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "ensemble: true\nposes: {scale: 0.1}",
            "`ensemble` means the seeds of a study's model; leave it out",
        ),
        ("refine: {stepps: 3}", "unknown key; did you mean 'steps'?"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_any_work(
    folder: Path, text: str, told: str
) -> None:
    (folder / "option.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        run(folder, test_time=folder / "option.yaml", model=(folder / "no model is looked for",))
    assert told in str(caught.value)
    assert not (folder / "out").exists()


def test_extra_files_are_asked_for_by_name(folder: Path) -> None:
    said = run(folder, export=("fsl", "learn2reg"))
    assert "field_fsl.nii.gz, disp_us_mr.nii.gz" in said
    assert (folder / "out/disp_us_mr.nii.gz").is_file()


def test_importing_stands_in_the_record(folder: Path) -> None:
    run(folder)
    assert files.read_json(folder / "out/register.json")["seconds"]["import"] > 0


def test_a_folder_that_holds_something_is_refused_before_any_work(folder: Path) -> None:
    run(folder)
    record = (folder / "out/register.json").read_bytes()
    with pytest.raises(InputError, match="is not empty"):
        run(folder, model=(folder / "no model is looked for",))
    assert (folder / "out/register.json").read_bytes() == record


def test_overwriting_replaces_it(folder: Path) -> None:
    run(folder, export=("ras",))
    run(folder, overwrite=True)
    assert not (folder / "out/field_ras.nii.gz").exists()


def test_bad_input_leaves_no_folder(folder: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        run(folder, moving=folder / "none.nii.gz")
    assert not (folder / "out").exists()


def test_threads_are_set(folder: Path) -> None:
    try:
        run(folder, threads=2)
        assert files.read_json(folder / "out/register.json")["threads"] == 2
    finally:
        torch.set_num_threads(1)


def test_a_gpu_that_is_not_there_is_told(folder: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(DeviceError, match="torch sees no GPU"):
        run(folder, device="cuda")
