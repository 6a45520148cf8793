"""What a registration of a new patient holds, shows and writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from builders import new_patient
from tenter import files
from tenter.errors import InputError
from tenter.formats import volumes
from tenter.registration.new_patient import register
from tenter.registration.result import Registration, require_room

USUAL = {"transform.h5", "field.nii.gz", "warped_image.nii.gz", "overview.png", "register.json"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and a patient."""
    root = tmp_path_factory.mktemp("patient")
    new_patient.write_model(root / "models/tiny")
    new_patient.write_images(root)
    return root


@pytest.fixture(scope="module")
def done(folder: Path) -> Registration:
    """The patient, registered."""
    return register(
        folder / "models/tiny", folder / "mr.nii.gz", folder / "us.nii.gz", device="cpu"
    )


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_warped_image_is_itks_resampling_by_the_written_transform(
    folder: Path, done: Registration, tmp_path: Path
) -> None:
    done.save(tmp_path)
    moving, fixed = (sitk.ReadImage(str(folder / name)) for name in ("mr.nii.gz", "us.nii.gz"))
    transform = sitk.ReadTransform(str(tmp_path / "transform.h5"))
    theirs = sitk.GetArrayFromImage(
        sitk.Resample(moving, fixed, transform, sitk.sitkLinear, -1e4)
    ).T
    inside = theirs > -5e3
    assert inside.mean() > 0.5
    np.testing.assert_allclose(done.warped.array[0][inside], theirs[inside], rtol=0, atol=0.05)


def test_the_field_is_the_map_minus_identity_in_ras_mm(done: Registration) -> None:
    affine = done.fixed.volume.affine
    start = affine @ [3, 4, 5, 1]
    end = done.transform.map_points(start[None, :3])[0]
    np.testing.assert_allclose(done.field_mm[:, 3, 4, 5], end - start[:3], rtol=0, atol=1e-3)
    assert done.field_mm.shape == (3, 9, 11, 8)


def test_saving_names_what_it_wrote(done: Registration, tmp_path: Path) -> None:
    made = done.save(tmp_path / "new/out")
    assert {path.name for path in made} == names(tmp_path / "new/out") == USUAL
    said = files.read_json(tmp_path / "new/out/register.json")
    assert set(said["files"]) == USUAL - {"register.json"}
    assert said["files"]["field.nii.gz"]["sha256"] == files.sha256(
        tmp_path / "new/out/field.nii.gz"
    )


def test_the_record_says_how_it_was_made_and_names_no_folder(
    folder: Path, done: Registration, tmp_path: Path
) -> None:
    done.save(tmp_path)
    text = (tmp_path / "register.json").read_text()
    said = json.loads(text)
    weights = files.read_json(folder / "models/tiny/fold-0/model.json")["weights_sha256"]
    assert said["model"]["name"] == "tiny"
    assert said["model"]["members"] == [{"fold": "0", "sha256": weights}]
    assert said["moving"]["sha256"] == volumes.sha256(folder / "mr.nii.gz")
    assert said["alignment"]["rule"] == "centre"
    assert said["displacement"]["largest_mm"] == round(done.figures.largest_mm, 4)
    assert said["displacement"]["folding_percent"] == 0.0
    assert set(said["seconds"]) == {"load model", "read", "prepare", "network", "measure", "write"}
    assert str(folder) not in text
    assert str(tmp_path) not in text


def test_extra_files_are_written_on_request(done: Registration, tmp_path: Path) -> None:
    done.save(tmp_path, export=("ras", "learn2reg"))
    assert names(tmp_path) == USUAL | {"field_ras.nii.gz", "disp_us_mr.nii.gz"}


def test_an_inverse_that_leads_back_badly_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    new_patient.write_model(tmp_path / "model", weight=new_patient.FOLDING)
    found = register(tmp_path / "model", new_patient.volume("moving"), new_patient.volume("fixed"))
    found.save(tmp_path / "out", export=("inverse",))
    said = files.read_json(tmp_path / "out/register.json")
    assert said["inverse_residual_mm"] > 0.5
    assert "is mapped back by inverse.h5 with errors" in said["warnings"][-1]["message"]
    assert "is mapped back by inverse.h5 with errors" in caplog.text


def test_a_folder_that_holds_something_is_refused(done: Registration, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="is not empty; name another folder, or overwrite"):
        done.save(tmp_path)
    assert names(tmp_path) == {"notes.txt"}


def test_overwriting_removes_what_the_earlier_one_left_and_nothing_else(
    done: Registration, tmp_path: Path
) -> None:
    done.save(tmp_path, export=("fsl", "learn2reg"))
    (tmp_path / "disp_0001_0002.nii.gz").touch()
    done.save(tmp_path, overwrite=True)
    assert names(tmp_path) == USUAL | {"disp_0001_0002.nii.gz"}


def test_a_record_that_names_files_elsewhere_removes_none_of_them(
    done: Registration, tmp_path: Path
) -> None:
    outside = tmp_path / "precious"
    outside.touch()
    files.write_json(
        tmp_path / "out/register.json", {"files": {"../precious": {}, str(outside): {}}}
    )
    done.save(tmp_path / "out", overwrite=True)
    assert outside.exists()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    for path in (tmp_path / "f", tmp_path / "f/out"):
        with pytest.raises(InputError, match="cannot be a folder"):
            require_room(path, overwrite=True)


def test_saving_twice_gives_the_same_images(done: Registration, tmp_path: Path) -> None:
    for name in ("a", "b"):
        done.save(tmp_path / name)
    for name in USUAL - {"register.json", "transform.h5"}:  # HDF5 notes the second
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_one_line_says_what_it_is(done: Registration) -> None:
    text = repr(done)
    assert text.startswith("Registration(mr to us by tiny, 1 fold: displacement mean ")
    assert "\n" not in text


def test_a_notebook_shows_a_picture(done: Registration) -> None:
    assert done._repr_png_().startswith(b"\x89PNG")
