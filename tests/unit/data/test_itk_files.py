from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from tenter.data import volumes
from tenter.errors import DataError

ARRAY = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
FORMATS = [("a.mha", False), ("a.mha", True), ("a.mhd", False), ("a.mhd", True), ("a.nrrd", False)]
FORMATS += [("a.nrrd", True), ("a.nhdr", False)]


def written(folder: Path, name: str, *, packed: bool, array: np.ndarray = ARRAY) -> Path:
    """An image whose axes are turned, written by SimpleITK."""
    image = sitk.GetImageFromArray(array, isVector=array.ndim == 4)
    image.SetSpacing((1.0, 2.0, 3.0))
    image.SetOrigin((5.0, 6.0, 7.0))
    image.SetDirection((0, -1, 0, 1, 0, 0, 0, 0, 1))
    sitk.WriteImage(image, str(folder / name), useCompression=packed)
    return folder / name


@pytest.mark.parametrize(("name", "packed"), FORMATS)
def test_values_are_kept_and_places_become_ras(tmp_path: Path, name: str, packed: bool) -> None:  # noqa: FBT001 - parametrised
    read = volumes.read_image(written(tmp_path, name, packed=packed))
    assert np.array_equal(read.array[0], ARRAY.T)
    expected = [[0, 2, 0, -5], [-1, 0, 0, -6], [0, 0, 3, 7], [0, 0, 0, 1]]
    assert np.allclose(read.affine, expected, atol=1e-12)


@pytest.mark.parametrize(("name", "packed"), FORMATS)
@pytest.mark.parametrize("cut", [1, 9, 100])
def test_truncated_data_are_refused(tmp_path: Path, name: str, packed: bool, cut: int) -> None:  # noqa: FBT001 - parametrised
    path = written(tmp_path, name, packed=packed)
    data = volumes.parts(path)[-1]
    data.write_bytes(data.read_bytes()[:-cut])
    with pytest.raises(DataError, match="truncated"):
        volumes.read_image(path)


@pytest.mark.parametrize(("name", "packed"), [item for item in FORMATS if item[1]])
@pytest.mark.parametrize("place", range(6, 200, 11))
def test_damaged_compressed_data_are_refused(tmp_path: Path, name: str, packed: bool, place: int) -> None:  # noqa: FBT001 - parametrised
    path = written(tmp_path, name, packed=packed)
    data = volumes.parts(path)[-1]
    content = bytearray(data.read_bytes())
    content[-place] ^= 8
    data.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        volumes.read_image(path)


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
def test_values_per_voxel_are_channels(tmp_path: Path, name: str) -> None:
    vectors = np.random.default_rng(0).normal(size=(4, 5, 6, 3)).astype(np.float32)
    read = volumes.read_image(written(tmp_path, name, packed=True, array=vectors))
    assert np.array_equal(read.array, vectors.transpose(3, 2, 1, 0))


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "i8", "f4", "f8"])
def test_stored_types_are_kept(tmp_path: Path, dtype: str) -> None:
    array = np.abs(10 * ARRAY).astype(dtype)
    path = written(tmp_path, "a.mha", packed=False, array=array)
    assert volumes.header(path).dtype == np.dtype(dtype)
    assert np.array_equal(volumes.read_image(path).array[0], array.T.astype(np.float32))


def test_complex_values_are_refused(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(ARRAY.astype(np.complex64))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    with pytest.raises(DataError, match=r"complex|cannot be read"):
        volumes.header(tmp_path / "a.nrrd")


def test_a_changed_voxel_file_changes_the_hash(tmp_path: Path) -> None:
    path = written(tmp_path, "a.mhd", packed=False)
    before = volumes.sha256(path)
    raw = volumes.parts(path)[1]
    raw.write_bytes(raw.read_bytes()[::-1])
    assert volumes.sha256(path) != before
