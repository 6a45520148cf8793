"""The same volume in every format that is read: one array in one world, as image,
label map and stack.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from builders.tiny_cohorts import world
from tenter.config import LabelFiles
from tenter.errors import DataError
from tenter.formats import volumes

SHAPE = (6, 5, 4)
TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "i8", "u8", "f4", "f8")

TURNED = world(SHAPE, (1.0, 1.5, 2.2), degrees=25)
AFFINES = {
    "axis-aligned": world(SHAPE, (1.0, 1.5, 2.2)),
    "oblique": TURNED,
    "left-handed": TURNED @ np.diag([-1, 1, 1, 1]),
    "permuted": TURNED @ np.eye(4)[[2, 0, 1, 3]],
}

Save = Callable[[Path, np.ndarray, np.ndarray], object]


def by_nibabel(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """As NIfTI: `[x, y, z]`, or `[x, y, z, c]`."""
    if path.suffix == ".hdr":
        nib.save(nib.Nifti1Pair(array, affine, dtype=array.dtype), path)
    else:
        nib.save(nib.Nifti1Image(array, affine, dtype=array.dtype), path)


def by_nibabel_2(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """As NIfTI-2."""
    nib.save(nib.Nifti2Image(array, affine, dtype=array.dtype), path)


def by_itk(path: Path, array: np.ndarray, affine: np.ndarray, *, packed: bool = False) -> None:
    """By SimpleITK, several channels as values of a voxel."""
    image = sitk.GetImageFromArray(
        np.moveaxis(array, (0, 1, 2), (2, 1, 0)), isVector=array.ndim == 4
    )
    _write(image, path, affine, packed=packed)


def by_itk_packed(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """By SimpleITK, compressed."""
    by_itk(path, array, affine, packed=True)


def by_itk_4d(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """By SimpleITK, several channels as a fourth axis."""
    _write(sitk.GetImageFromArray(array.T, isVector=False), path, affine, packed=True)


def _write(image: sitk.Image, path: Path, affine: np.ndarray, *, packed: bool) -> None:
    axes = image.GetDimension()
    lps = np.diag([-1.0, -1, 1]) @ affine[:3]
    steps = np.linalg.norm(lps[:, :3], axis=0)
    direction = np.eye(axes)
    direction[:3, :3] = lps[:, :3] / steps
    image.SetSpacing([*steps, 1.0][:axes])
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin([*lps[:, 3], 0.0][:axes])
    sitk.WriteImage(image, str(path), useCompression=packed)


NIFTI: dict[str, tuple[str, Save]] = {
    "nii": ("a.nii", by_nibabel),
    "nii.gz": ("a.nii.gz", by_nibabel),
    "hdr/img": ("a.hdr", by_nibabel),
    "nifti-2": ("b.nii.gz", by_nibabel_2),
    "nii by itk": ("c.nii", by_itk),
    "nii.gz by itk": ("c.nii.gz", by_itk),
}
ITK: dict[str, tuple[str, Save]] = {
    "mha": ("d.mha", by_itk),
    "mha packed": ("e.mha", by_itk_packed),
    "mhd/raw": ("f.mhd", by_itk),
    "mhd/zraw": ("g.mhd", by_itk_packed),
    "nrrd": ("h.nrrd", by_itk),
    "nrrd packed": ("i.nrrd", by_itk_packed),
    "nhdr": ("j.nhdr", by_itk),
    "nhdr packed": ("k.nhdr", by_itk_packed),
}
FOURTH_AXIS: dict[str, tuple[str, Save]] = {
    f"{suffix} 4-D": (f"l.{suffix}", by_itk_4d)
    for suffix in ("nii.gz", "mha", "mhd", "nrrd", "nhdr")
}
ALL = NIFTI | ITK


def saved(folder: Path, name: str, array: np.ndarray, affine: np.ndarray = TURNED) -> Path:
    file, save = (ALL | FOURTH_AXIS)[name]
    save(folder / file, array, affine)
    return folder / file


def noise(dtype: str, channels: int = 0) -> np.ndarray:
    shape = (*SHAPE, channels) if channels else SHAPE
    return np.random.default_rng(0).integers(0, 100, shape).astype(dtype)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", TYPES)
def test_an_image_of_each_type_is_the_same_array(tmp_path: Path, name: str, dtype: str) -> None:
    path = saved(tmp_path, name, noise(dtype))
    read = volumes.read_image(path)
    assert volumes.header(path).dtype == np.dtype(dtype)
    assert np.array_equal(read.array, noise("f4")[None])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", AFFINES)
def test_it_lies_in_the_same_world(tmp_path: Path, name: str, kind: str) -> None:
    read = volumes.read_image(saved(tmp_path, name, noise("i2"), AFFINES[kind]))
    assert np.allclose(read.affine, AFFINES[kind], atol=1e-5)


@pytest.mark.parametrize("name", [*ALL, *FOURTH_AXIS])
@pytest.mark.parametrize("channels", [1, 3])
def test_channels_are_the_same_however_they_are_stored(
    tmp_path: Path, name: str, channels: int
) -> None:
    array = noise("f4", channels)
    read = volumes.read_image(saved(tmp_path, name, array))
    assert np.array_equal(read.array, np.moveaxis(array, 3, 0))
    assert np.allclose(read.affine, TURNED, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_a_label_map_is_the_same(tmp_path: Path, name: str) -> None:
    array = noise("i2") % 5
    read = volumes.read_labels(saved(tmp_path, name, array), LabelFiles(format="map"))
    assert read.keys == (1, 2, 3, 4)
    assert np.array_equal(read.values, array)
    assert np.allclose(read.affine, TURNED, atol=1e-5)


@pytest.mark.parametrize("name", [*ALL, *FOURTH_AXIS])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_label_stack_is_the_same(tmp_path: Path, name: str, channels: int) -> None:
    array = noise("u1", channels) % 2
    read = volumes.read_labels(saved(tmp_path, name, array), LabelFiles(format="stack"))
    assert read.keys == tuple(range(channels))
    assert np.array_equal(read.array, np.moveaxis(array, 3, 0))


@pytest.mark.parametrize("name", ["mha", "nrrd packed", "nii by itk", "nii.gz"])
def test_nan_is_refused_in_every_format(tmp_path: Path, name: str) -> None:
    array = noise("f4")
    array[1, 2, 3] = np.nan
    with pytest.raises(DataError, match=r"1 voxels that are NaN.*\(1, 2, 3\)"):
        volumes.read_image(saved(tmp_path, name, array))
