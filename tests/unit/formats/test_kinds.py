"""What a file holds is known by its marks, or by numbers that only an image has;
else it is not known.
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tenter.errors import InputError
from tenter.formats import kinds

RANDOM = np.random.default_rng(3)
SHAPE = (12, 12, 12)


def before(ground: float, values: np.ndarray) -> np.ndarray:
    """Values in a cube of 8 voxels before a constant ground, as of a masked scan."""
    result = np.full(SHAPE, ground, values.dtype)
    result[2:10, 2:10, 2:10] = values
    return result


def noise(low: int, high: int, dtype: str, shape: tuple[int, ...] = (8, 8, 8)) -> np.ndarray:
    return RANDOM.integers(low, high, shape).astype(dtype)


IMAGES = {
    "CT in a window": before(-160, noise(-160, 240, "i2")),
    "CT of two values": before(-1024, np.full((8, 8, 8), 40, "i2")),
    "float CT of whole numbers": before(-1000, noise(-1000, 60, "f4")),
    "probability map": before(0, RANDOM.random((8, 8, 8)).astype("f4")),
    "4-D series with negative numbers": RANDOM.integers(-5, 300, (4, *SHAPE)).astype("i2"),
    "MR of 2000 grey values": noise(0, 4000, "u2", SHAPE),
    "soft stack": RANDOM.random((3, *SHAPE)).astype("f8"),
    "image with one fraction": np.eye(12)[None].repeat(12, 0) * 1.25,
}
UNCERTAIN = {
    "binary image": before(0, noise(0, 2, "u1")),
    "mask": before(0, np.ones((8, 8, 8), "u1")),
    "photon counts": before(0, RANDOM.poisson(2, (8, 8, 8)).astype("i2")),
    "ultrasound of 200 grey values": before(0, noise(0, 200, "u1")),
    "CT from 0 on": before(864, noise(864, 1264, "u2")),
    "float label map": before(0, noise(0, 5, "f4")),
    "4-D stack of 0 and 1": RANDOM.integers(0, 2, (3, *SHAPE)).astype("u1"),
    "colours": RANDOM.integers(0, 256, (3, *SHAPE)).astype("u1"),
    "2000 regions": np.arange(13**3)
    .reshape(13, 13, 13)
    .repeat(3, 0)
    .repeat(3, 1)
    .repeat(3, 2)
    .astype("i4"),
    "constant image": np.full(SHAPE, 7, "i2"),
}


def volume(values: np.ndarray) -> np.ndarray:
    return values if values.ndim == 4 else values[None]


@pytest.mark.parametrize("name", IMAGES)
def test_numbers_that_labels_cannot_have_show_an_image(name: str) -> None:
    found = kinds.numbered(volume(IMAGES[name]))
    assert found is not None
    assert found.kind == "image"


@pytest.mark.parametrize("name", UNCERTAIN)
def test_numbers_that_labels_may_have_show_nothing(name: str) -> None:
    assert kinds.numbered(volume(UNCERTAIN[name])) is None


@given(arrays.arrays("u1", (1, 3, 3, 3)))
def test_bytes_never_show_what_they_are(values: np.ndarray) -> None:
    assert kinds.numbered(values) is None


@given(arrays.arrays("i2", (1, 3, 3, 3)), st.integers(-(2**15), -1))
def test_a_negative_number_anywhere_shows_an_image(values: np.ndarray, low: int) -> None:
    values[0, 1, 2, 0] = low
    found = kinds.numbered(values)
    assert found is not None
    assert found.kind == "image"


def nifti(path: Path, code: int, sizes: tuple[int, ...] = SHAPE) -> Path:
    image = nib.Nifti1Image(np.zeros(sizes, "u1"), np.eye(4))
    image.header.set_intent(code, allow_unknown=True)
    nib.save(image, path)
    return path


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1002, "labels"),
        (1005, "labels"),
        (3, "image"),
        (5, "image"),
        (22, "image"),
        (24, "image"),
        (0, None),
    ],
)
def test_an_intent_code_marks_a_file(code: int, kind: str | None, tmp_path: Path) -> None:
    found = kinds.marked(nifti(tmp_path / "a.nii.gz", code))
    assert (found.kind if found else None) == kind


@pytest.mark.parametrize("code", [1004, 1006, 1007, 1008, 2006, 2007, 2009, 2016])
def test_vectors_are_neither_images_nor_labels(code: int, tmp_path: Path) -> None:
    path = nifti(tmp_path / "field.nii", code, (4, 4, 4, 1, 3))
    with pytest.raises(
        InputError, match=rf"field\.nii: holds vectors \(intent code {code}\).*--kind image"
    ):
        kinds.marked(path)


def segmentation(path: Path, **fields: str) -> Path:
    image = sitk.Image([4, 4, 4], sitk.sitkUInt8)
    for name, value in fields.items():
        image.SetMetaData(name, value)
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"Segment0_ID": "Segment_1", "Segment0_LabelValue": "1"}, "labels"),
        ({"Segment0_ID": "a", "Segmentation_SourceRepresentation": "Binary labelmap"}, "labels"),
        ({"Segment12_LabelValue": "3"}, "labels"),
        ({}, None),
        ({"Segmentation": "none"}, None),
    ],
)
def test_a_segmentation_of_3d_slicer_is_a_label_map(
    fields: dict[str, str], kind: str | None, tmp_path: Path
) -> None:
    found = kinds.marked(segmentation(tmp_path / "a.seg.nrrd", **fields))
    assert (found.kind if found else None) == kind


@pytest.mark.parametrize(
    "key", ["Segmentation_SourceRepresentation", "Segmentation_MasterRepresentation"]
)
def test_a_fractional_segmentation_is_no_label_map(key: str, tmp_path: Path) -> None:
    path = segmentation(tmp_path / "a.seg.nrrd", Segment0_ID="a", **{key: "Fractional labelmap"})
    with pytest.raises(
        InputError, match=r"a\.seg\.nrrd: is a fractional segmentation.*--kind image"
    ):
        kinds.marked(path)


def test_overlapping_segments_of_3d_slicer_are_labels(tmp_path: Path) -> None:
    path = tmp_path / "a.seg.nrrd"
    path.write_bytes(b"NRRD0004\ntype: uint8\ndimension: 4\nencoding: raw\nSegment0_ID:=a\n\n")
    assert kinds.marked(path) == ("labels", "it is a segmentation of 3D Slicer")


@pytest.mark.parametrize("last", ["66.4", "66.7"])
def test_a_dicom_segmentation_is_no_image(last: str, tmp_path: Path) -> None:
    identifier = f"1.2.840.10008.5.1.4.1.1.{last}".encode()
    (tmp_path / "seg.dcm").write_bytes(
        bytes(128) + b"DICM\x02\x00\x02\x00UI\x1c\x00" + identifier + b"\0"
    )
    with pytest.raises(InputError, match=r"is a DICOM segmentation.*dcmqi"):
        kinds.marked(tmp_path)


def test_other_dicom_is_an_image(tmp_path: Path) -> None:
    (tmp_path / "1.dcm").write_bytes(bytes(128) + b"DICM" + b"1.2.840.10008.5.1.4.1.1.4\0")
    assert kinds.marked(tmp_path) == ("image", "it is a DICOM series")


def test_what_scaling_leaves_of_whole_numbers_is_whole() -> None:
    values = np.array([0.0, 1.0000153, 1.99999, 3.0]).reshape(1, 1, 2, 2)
    assert kinds.are_whole(values)
    assert kinds.integers(values).ravel().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.array([0.0, 255.0]), np.uint8),
        (np.array([0.0, 256.0]), np.uint16),
        (np.array([-1.0, 200.0]), np.int16),
        (np.array([0, 7], dtype=np.int64), np.uint8),
        (np.array([0, 7], dtype=np.int16), np.int16),
        (np.array([0, 7], dtype=">i4"), np.int32),
    ],
)
def test_integers_keep_their_type_or_get_the_smallest(values: np.ndarray, dtype: type) -> None:
    found = kinds.integers(values)
    assert found.dtype == np.dtype(dtype)
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, values)


def test_numbers_beyond_32_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 32 bits"):
        kinds.integers(np.array([-1, 2**40]))


def test_values_far_apart_are_counted_too() -> None:
    assert kinds.distinct(np.array([0, 614454277, 5, 5], dtype=np.int64).reshape(1, 1, 2, 2)) == 3
