from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from tenter import files
from tenter.cases import case_files
from tenter.errors import DataError
from tenter.formats import volumes
from tenter.records import Label

SHAPE = (5, 4, 3)
RNG = np.random.default_rng(0)
IMAGES = {
    "moving": RNG.normal(size=(2, *SHAPE)).astype(np.float32),
    "fixed": RNG.normal(size=(1, *SHAPE)).astype(np.float32),
}
MASKS = {side: RNG.integers(0, 256, (1, *SHAPE)).astype(np.uint8) for side in case_files.SIDES}
AFFINE = np.array([[2.0, 0, 0, 0.1], [0, 2, 0, 0.2], [0, 0, 3, 0.3], [0, 0, 0, 1]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A case with two moving channels, one fixed one and one label."""
    grid = {"shape": [9, 9, 9], "affine": np.eye(4).tolist()}
    alignment = np.eye(4)
    alignment[0, 3] = 1 / 3
    for side in case_files.SIDES:
        volumes.write_image(case_files.images_file(tmp_path, side), IMAGES[side], AFFINE)
        volumes.write_labels(case_files.labels_file(tmp_path, side), MASKS[side] / 255.0, AFFINE)
    said: dict[str, object] = {
        "pair": "a",
        "patients": ["p", "q"],
        "set": "cv",
        "stratum": None,
        "moving": grid,
        "fixed": grid,
        "plan": "0",
        "sources": {},
    }
    said |= {"affine": AFFINE.tolist(), "alignment": alignment.tolist()}
    files.write_json(tmp_path / case_files.IMAGES_SIDECAR, said)
    labels = [{"name": "gland", "key": 3, "role": "structure", "moving": {}, "fixed": {}}]
    files.write_json(
        tmp_path / case_files.LABELS_SIDECAR, {"pair": "a", "shape": SHAPE, "labels": labels}
    )
    return tmp_path


def test_images_come_back_as_they_were_written(folder: Path) -> None:
    case = case_files.read_images(folder)
    assert np.array_equal(case.moving, IMAGES["moving"])
    assert np.array_equal(case.fixed, IMAGES["fixed"])
    assert (case.pair, case.patients, case.set, case.stratum) == ("a", ("p", "q"), "cv", None)


def test_matrices_keep_every_digit(folder: Path) -> None:
    case = case_files.read_images(folder)
    assert np.array_equal(case.affine, AFFINE)
    assert case.alignment[0, 3] == 1 / 3


def test_labels_come_back_with_what_they_are(folder: Path) -> None:
    case = case_files.read_labels(folder)
    assert case.labels == (Label("gland", 3, "structure"),)
    assert np.array_equal(case.moving, MASKS["moving"])
    assert np.array_equal(case.fixed, MASKS["fixed"])


def test_voxels_are_memory_mapped(folder: Path) -> None:
    case, labels = case_files.read_images(folder), case_files.read_labels(folder)
    assert all(isinstance(item, np.memmap) for item in (case.moving, case.fixed, labels.moving))


def test_touching_the_arrays_does_not_change_the_file(folder: Path) -> None:
    before = files.sha256(case_files.images_file(folder, "fixed"))
    case_files.read_images(folder).fixed[...] = 0
    assert files.sha256(case_files.images_file(folder, "fixed")) == before


def test_a_viewer_sees_labels_between_0_and_1(folder: Path) -> None:
    image = sitk.ReadImage(str(case_files.labels_file(folder, "moving")))
    assert np.allclose(sitk.GetArrayFromImage(image).T, MASKS["moving"][0] / 255, atol=1e-6)


def test_a_case_without_labels_has_none(folder: Path) -> None:
    files.write_json(
        folder / case_files.LABELS_SIDECAR, {"pair": "a", "shape": SHAPE, "labels": []}
    )
    case = case_files.read_labels(folder)
    assert case.labels == ()
    assert case.moving.shape == (0, *SHAPE)


@pytest.mark.parametrize("name", ["images.json", "moving.nii"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(DataError, match=name):
        case_files.read_images(folder)


def test_another_type_is_refused(folder: Path) -> None:
    volumes.write_labels(case_files.images_file(folder, "moving"), MASKS["moving"], AFFINE)
    with pytest.raises(DataError, match="holds uint8, not float32"):
        case_files.read_images(folder)
