"""The command takes a file for what it is, asks where that is uncertain, and agrees with Python."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

import tenter
from tenter.cli.main import main
from tenter.errors import DataError, InputError
from tenter.tools.warp import Kind, warp

SHAPE = (20, 20, 16)
RANDOM = np.random.default_rng(1)
GRID = np.indices(SHAPE) - np.array(SHAPE).reshape(3, 1, 1, 1) / 2
BODY = np.sqrt((GRID**2).sum(0)) < 7
TEXTURE = 40 + gaussian_filter(RANDOM.normal(0, 150, SHAPE), 1.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    sitk.WriteTransform(sitk.TranslationTransform(3, (0.8, 0.4, 0.0)), str(tmp_path / "shift.tfm"))
    return tmp_path


def save(path: Path, values: np.ndarray, intent: int = 0) -> Path:
    image = nib.Nifti1Image(values, np.eye(4), dtype=values.dtype)
    image.set_qform(np.eye(4), 1)
    image.header.set_intent(intent)
    nib.save(image, path)
    return path


def run(path: Path, output: str = "out.nii.gz", **flags: object) -> str:
    folder = path.parent
    places = {"transform": folder / "shift.tfm", "input": path, "reference": path}
    return warp(**places, output=folder / output, **flags)  # type: ignore[arg-type]


def read(path: Path) -> np.ndarray:
    values: np.ndarray = np.asanyarray(nib.nifti1.load(path).dataobj)
    return values


def by_simpleitk(path: Path, how: int, fill: float) -> np.ndarray:
    image = sitk.ReadImage(str(path), sitk.sitkFloat64)
    shift = sitk.ReadTransform(str(path.parent / "shift.tfm"))
    result: np.ndarray = sitk.GetArrayFromImage(sitk.Resample(image, image, shift, how, fill))
    return result.transpose(2, 1, 0)


CT = np.where(BODY, TEXTURE, -1000)
CERTAIN = {
    "window": CT.clip(-160, 240).astype("i2"),
    "bone": CT.clip(-1000, 300).astype("i2"),
    "float": np.rint(CT).astype("f4"),
    "two values": np.where(BODY, 40, -1000).astype("i2"),
    "fat": CT.clip(-190, -30).astype("i4"),
    "fractions": (CT / 7).astype("f4"),
    "many": (np.abs(RANDOM.normal(0, 9000, SHAPE)) * BODY).astype("u2"),
}


@pytest.mark.parametrize("name", CERTAIN)
def test_an_image_that_cannot_hold_labels_is_read_linearly(name: str, folder: Path) -> None:
    path = save(folder / "image.nii.gz", CERTAIN[name])
    run(path, fill=-160.0)
    result = read(folder / "out.nii.gz")
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, by_simpleitk(path, sitk.sitkLinear, -160), rtol=0, atol=1e-3)


UNCERTAIN = {
    "mask": BODY.astype("u1"),
    "counts": (RANDOM.poisson(2, SHAPE) * BODY).astype("i2"),
    "ultrasound": (RANDOM.integers(0, 200, SHAPE) * BODY).astype("u1"),
    "CT from 0": (CT + 1024).clip(864, 1264).astype("u2"),
    "float map": (BODY * 3).astype("f4"),
    "hard stack": np.stack([BODY, ~BODY], -1).astype("u1"),
    "series of counts": RANDOM.poisson(4, (*SHAPE, 3)).astype("u2"),
}


@pytest.mark.parametrize("name", UNCERTAIN)
def test_what_may_be_an_image_or_labels_is_asked_for(name: str, folder: Path) -> None:
    path = save(folder / "file.nii.gz", UNCERTAIN[name])
    with pytest.raises(
        InputError, match=r"file\.nii\.gz:--kind: holds whole numbers.*say which: --kind image"
    ):
        run(path)
    assert not (folder / "out.nii.gz").exists()


@pytest.mark.parametrize("name", UNCERTAIN)
def test_the_advised_kind_is_accepted(name: str, folder: Path) -> None:
    path = save(folder / "file.nii.gz", UNCERTAIN[name])
    assert "taken for an image, as asked for; read linearly" in run(path, kind="image")


def test_the_command_asks_with_exit_code_2(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(folder / "mask.nii.gz", UNCERTAIN["mask"])
    flags = [f"--input={path}", f"--reference={path}", f"--output={folder / 'out.nii'}"]
    assert main(["warp", f"--transform={folder / 'shift.tfm'}", *flags]) == 2
    assert "--kind labels" in capsys.readouterr().err
    assert main(["warp", f"--transform={folder / 'shift.tfm'}", *flags, "--kind", "labels"]) == 0


def test_labels_are_known_by_their_intent(folder: Path) -> None:
    path = save(folder / "labels.nii.gz", (BODY * 3).astype("i2"), 1002)
    assert "taken for a label map, as its intent code is 1002" in run(path)
    expected = by_simpleitk(path, sitk.sitkNearestNeighbor, 0)
    np.testing.assert_array_equal(read(folder / "out.nii.gz"), expected)
    assert read(folder / "out.nii.gz").dtype == np.int16


@pytest.mark.parametrize(
    ("values", "kind", "fix"),
    [
        (CERTAIN["window"], "labels", "store 0 for background"),
        (CERTAIN["fractions"] + 1000, "labels", "for soft labels give --kind stack"),
        (UNCERTAIN["hard stack"], "labels", "a label map has one channel; give --kind stack"),
        (
            UNCERTAIN["ultrasound"],
            "stack",
            "store each label between 0 and 1, or give --kind labels",
        ),
        (UNCERTAIN["series of counts"], "stack", "store each label as a channel of its own"),
    ],
)
def test_a_wrong_kind_is_refused_with_the_right_flag(
    values: np.ndarray, kind: Kind, fix: str, folder: Path
) -> None:
    with pytest.raises(DataError, match=fix):
        run(save(folder / "file.nii.gz", values), kind=kind)


SAME = {
    "image": (CERTAIN["window"], "image"),
    "image of counts": (UNCERTAIN["counts"], "image"),
    "uint8 map": (BODY.astype("u1"), "labels"),
    "int16 map": ((BODY * 300).astype("i2"), "labels"),
    "float map": ((BODY * 3).astype("f4"), "labels"),
    "int64 map": ((BODY * 3).astype("i8"), "labels"),
    "hard stack": (UNCERTAIN["hard stack"], "stack"),
    "soft stack": (np.stack([BODY * 0.3, BODY * 0.7], -1).astype("f4"), "stack"),
    "soft label of 3 axes": ((BODY * 0.3).astype("f4"), "stack"),
}


@pytest.mark.parametrize("name", SAME)
def test_command_and_python_write_the_same_file(name: str, folder: Path) -> None:
    values, kind = SAME[name]
    path = save(folder / "in.nii.gz", values)
    run(path, "command.nii.gz", kind=kind)
    if kind == "image":
        image = tenter.warp(tenter.read_image(path), folder / "shift.tfm", path)
        tenter.write_image(folder / "python.nii.gz", image)
    else:
        labels = tenter.warp(
            tenter.read_labels(path, stack=kind == "stack"), folder / "shift.tfm", path
        )
        tenter.write_labels(folder / "python.nii.gz", labels)
    assert (folder / "command.nii.gz").read_bytes() == (folder / "python.nii.gz").read_bytes()
