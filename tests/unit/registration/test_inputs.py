"""Images of a new patient as a user names them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from builders import new_patient
from tenter.errors import InputError
from tenter.formats import volumes
from tenter.formats.volumes import Volume
from tenter.registration import inputs


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    path = new_patient.write_images(tmp_path)[0]
    found = inputs.original(path, "moving")
    assert np.array_equal(found.volume.array, volumes.read_image(path).array)
    assert (found.name, found.shown, found.doubts) == ("mr", str(path), ())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, r"mr\.nii\.gz: does not exist .*; correct the path"),
        (b"", r"mr\.nii\.gz: is empty"),
        (b"<html>", r"mr\.nii\.gz: .*HTML"),
        (b"\x1f\x8b\x08\x00cut", r"mr\.nii\.gz: "),
    ],
)
def test_an_unusable_file_is_told_in_one_line(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "mr.nii.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=told) as raised:
        inputs.original(path, "moving")
    assert len(str(raised.value).splitlines()) == 1
    assert raised.value.exit_code == 2


def test_a_truncated_file_is_told(tmp_path: Path) -> None:
    path = new_patient.write_images(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="truncated"):
        inputs.original(path, "moving")


def test_a_constant_image_is_refused(tmp_path: Path) -> None:
    volumes.write_image(tmp_path / "us.nii", np.full((4, 4, 4), 3.0), np.eye(4))
    with pytest.raises(InputError, match=r"us\.nii: is constant"):
        inputs.original(tmp_path / "us.nii", "fixed")


def test_a_doubtful_unit_is_kept_as_a_doubt(tmp_path: Path) -> None:
    image = new_patient.volume("fixed")
    volumes.write_image(tmp_path / "us.nii", image.array, np.diag([0.002, 0.002, 0.002, 1.0]))
    found = inputs.original(tmp_path / "us.nii", "fixed")
    assert "is its unit mm?" in found.doubts[0].message


@pytest.mark.parametrize(
    ("array", "affine", "told"),
    [
        (np.zeros((4, 4, 4)), np.eye(4), "has sizes"),
        (np.zeros((1, 1, 4, 1)), np.eye(4), "of one slice"),
        (np.zeros((1, 4, 4, 4)), np.zeros((4, 4)), "affine"),
        (np.full((1, 4, 4, 4), np.nan), np.eye(4), "NaN"),
        (np.zeros((1, 4, 4, 4)), np.eye(4), "is constant"),
    ],
)
def test_a_volume_in_memory_is_checked(array: np.ndarray, affine: np.ndarray, told: str) -> None:
    # As a user without runtime checks would make it.
    given = object.__new__(Volume)
    object.__setattr__(given, "array", array)
    object.__setattr__(given, "affine", affine)
    with pytest.raises(InputError, match=f"moving image: .*{told}"):
        inputs.original(given, "moving")


def test_one_image_in_the_place_of_two_is_refused() -> None:
    both = [inputs.original(new_patient.volume("fixed"), side) for side in inputs.SIDES]
    with pytest.raises(InputError, match="fixed image: has the same content"):
        inputs.require_two(both[0], both[1])


def test_images_that_share_no_place_are_told_of() -> None:
    moving, fixed = (inputs.original(new_patient.volume(side), side) for side in inputs.SIDES)
    assert inputs.apart(moving, fixed, np.eye(4)) is not None
    placed = np.eye(4)
    placed[:3, 3] = (-30.0, 15.0, 10.0)
    assert inputs.apart(moving, fixed, placed) is None


def test_a_path_that_looks_like_a_message_is_named_whole(tmp_path: Path) -> None:
    path = tmp_path / "study: final; 2" / "mr.nii.gz"
    path.parent.mkdir()
    path.write_bytes(b"\x1f\x8b" + bytes(500))
    with pytest.raises(InputError) as caught:
        inputs.original(path, "moving")
    assert [fault.file for fault in caught.value.faults] == [str(path)]
