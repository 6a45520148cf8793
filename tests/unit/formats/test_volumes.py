from __future__ import annotations

import resource
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from tenter.config import LabelFiles
from tenter.errors import DataError, OutputError
from tenter.formats import volumes

MAP, STACK = LabelFiles(format="map"), LabelFiles(format="stack")
SHAPE = (6, 5, 4)
NOISE = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
OBLIQUE = np.array([[-1.2, -1.2, 0, 10], [0.9, -1.6, 0, 20], [0, 0, 2.5, -30], [0, 0, 0, 1]])


def saved(path: Path, array: np.ndarray, dtype: str | None = None) -> Path:
    image = nib.Nifti1Image(array, np.diag([1.0, 2, 3, 1]))
    image.set_qform(image.affine, code=1)
    if dtype:
        image.set_data_dtype(dtype)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_image_that_is_not_finite_is_refused_with_count_and_place(
    tmp_path: Path, bad: float
) -> None:
    array = NOISE.copy()
    array[1, 2, 3] = array[4, 0, 0] = bad
    with pytest.raises(DataError, match=r"2 voxels that are NaN.*first at index \(1, 2, 3\)"):
        volumes.read_image(saved(tmp_path / "a.nii.gz", array))


def test_values_beyond_float32_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="beyond float32"):
        volumes.read_image(saved(tmp_path / "a.nii", NOISE.astype(np.float64) * 1e300))


def test_scaled_labels_keep_their_values(tmp_path: Path) -> None:
    labels = np.arange(120).reshape(SHAPE) % 6
    path = saved(tmp_path / "a.nii.gz", labels.astype(np.float32), "int16")
    assert not np.array_equal(nib.Nifti1Image.from_filename(path).get_fdata().astype(int), labels)
    read = volumes.read_labels(path, MAP)
    assert np.array_equal(read.values, labels)
    assert read.keys == (1, 2, 3, 4, 5)


def test_a_map_becomes_one_mask_a_label(tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.uint16)
    labels[0], labels[3] = 7, 300
    read = volumes.read_labels(saved(tmp_path / "a.nii.gz", labels), MAP)
    assert read.keys == (7, 300)
    assert np.array_equal(read.array, np.stack([labels == 7, labels == 300]))
    assert not read.mask(8).any()


@pytest.mark.parametrize(
    ("value", "complaint"),
    [(0.5, "fractional"), (-1, "from -1"), (np.nan, "NaN"), (1e12, "from 0")],
)
def test_a_map_of_no_labels_is_refused(tmp_path: Path, value: float, complaint: str) -> None:
    labels = np.zeros(SHAPE)
    labels[1, 1, 1] = value
    with pytest.raises(DataError, match=complaint):
        volumes.read_labels(saved(tmp_path / "a.nii.gz", labels), MAP)


def test_a_map_with_channels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels.format is map"):
        volumes.read_labels(saved(tmp_path / "a.nii", np.ones((*SHAPE, 2), np.uint8)), MAP)


def test_an_image_given_as_map_is_refused(tmp_path: Path) -> None:
    image = np.arange(1200, dtype=np.int16).reshape(10, 12, 10)
    with pytest.raises(DataError, match="1199 different labels"):
        volumes.read_labels(saved(tmp_path / "a.nii", image), MAP)


def test_a_stack_keeps_soft_labels(tmp_path: Path) -> None:
    soft = np.random.default_rng(0).random((*SHAPE, 3)).astype(np.float32)
    read = volumes.read_labels(saved(tmp_path / "a.nii.gz", soft), STACK)
    assert read.keys == (0, 1, 2)
    assert np.allclose(read.array, np.moveaxis(soft, 3, 0), atol=1e-3)
    assert read.shape == SHAPE


def test_a_scaled_stack_of_masks_is_exact(tmp_path: Path) -> None:
    masks = (np.random.default_rng(0).random((*SHAPE, 2)) > 0.5).astype(np.float64)
    read = volumes.read_labels(saved(tmp_path / "a.nii.gz", masks, "int16"), STACK)
    assert np.array_equal(read.array, np.moveaxis(masks, 3, 0))


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("int8", -128, 127), ("int8", -100, 100), ("uint8", 3, 250)]
)
def test_a_stack_of_bytes_means_what_its_slope_says(
    tmp_path: Path, dtype: str, low: int, high: int
) -> None:
    stored = np.random.default_rng(0).integers(low, high + 1, (*SHAPE, 2)).astype(dtype)
    stored[0, 0, 0] = low, high
    image = nib.Nifti1Image(stored, np.diag([1.0, 2, 3, 1]))
    image.header.set_slope_inter(1 / (high - low), -low / (high - low))
    nib.save(image, tmp_path / "a.nii")
    read = volumes.read_labels(tmp_path / "a.nii", STACK).array
    meant = (np.moveaxis(stored.astype(np.float64), 3, 0) - low) / (high - low)
    np.testing.assert_allclose(read, meant, atol=1e-6)
    assert (read.min(), read.max()) == (0, 1)


def test_a_single_mask_is_a_stack_of_one(tmp_path: Path) -> None:
    read = volumes.read_labels(saved(tmp_path / "a.nii.gz", (NOISE > 0).astype(np.uint8)), STACK)
    assert read.keys == (0,)
    assert np.array_equal(read.mask(0), NOISE > 0)


def test_a_stack_beyond_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="from 0 to 255 in a label stack"):
        volumes.read_labels(saved(tmp_path / "a.nii", (NOISE > 0).astype(np.uint8) * 255), STACK)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_written_image_lies_where_itk_expects_it(tmp_path: Path, name: str) -> None:
    volumes.write_image(tmp_path / name, NOISE, OBLIQUE)
    image = sitk.ReadImage(str(tmp_path / name))
    assert np.array_equal(sitk.GetArrayFromImage(image), NOISE.T)
    place = image.TransformIndexToPhysicalPoint((3, 1, 2))
    expected = np.diag([-1, -1, 1]) @ (OBLIQUE @ [3, 1, 2, 1])[:3]
    assert np.allclose(place, expected, atol=1e-4)


def test_channels_are_written_as_a_fourth_axis_and_come_back(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(3, *SHAPE)).astype(np.float32)
    volumes.write_image(tmp_path / "a.nii.gz", array, OBLIQUE)
    assert nib.Nifti1Image.from_filename(tmp_path / "a.nii.gz").shape == (*SHAPE, 3)
    read = volumes.read_image(tmp_path / "a.nii.gz")
    assert np.array_equal(read.array, array)
    assert np.allclose(read.affine, OBLIQUE, atol=1e-6)


def test_headers_say_nothing_but_the_geometry(tmp_path: Path) -> None:
    volumes.write_image(tmp_path / "a.nii", NOISE, OBLIQUE)
    head = nib.Nifti1Image.from_filename(tmp_path / "a.nii").header
    assert (int(head["sform_code"]), int(head["qform_code"])) == (1, 1)
    assert head.get_xyzt_units()[0] == "mm"
    assert not any(
        bytes(head[name].tobytes()).strip(b"\0") for name in ("descrip", "aux_file", "db_name")
    )
    assert len((tmp_path / "a.nii").read_bytes()) == 352 + NOISE.nbytes


def test_equal_images_are_equal_files(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        volumes.write_image(tmp_path / name, NOISE, OBLIQUE)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_soft_labels_are_written_to_a_255th(tmp_path: Path) -> None:
    soft = np.random.default_rng(0).random((2, *SHAPE)).astype(np.float32)
    volumes.write_labels(tmp_path / "a.nii.gz", soft, OBLIQUE)
    stored = nib.Nifti1Image.from_filename(tmp_path / "a.nii.gz")
    assert stored.get_data_dtype() == np.uint8
    assert np.allclose(stored.get_fdata(), np.moveaxis(soft, 0, 3), atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize(("largest", "dtype"), [(3, "u1"), (300, "u2"), (70_000, "u4")])
def test_a_map_is_written_as_the_smallest_type(tmp_path: Path, largest: int, dtype: str) -> None:
    labels = np.arange(120, dtype=np.int64).reshape(SHAPE) % 3
    labels[0, 0, 0] = largest
    volumes.write_labels(tmp_path / "a.nii.gz", labels, OBLIQUE)
    assert nib.Nifti1Image.from_filename(tmp_path / "a.nii.gz").get_data_dtype() == np.dtype(dtype)
    assert np.array_equal(volumes.read_labels(tmp_path / "a.nii.gz", MAP).values, labels)


def test_a_full_disk_leaves_no_file_and_says_so(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"a\.nii: cannot be written"):
            volumes.write_image(tmp_path / "a.nii", np.zeros((20, 20, 20), np.float32), OBLIQUE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())
