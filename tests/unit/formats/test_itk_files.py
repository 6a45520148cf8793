from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from tenter.errors import DataError
from tenter.formats import volumes

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
def test_values_are_kept_and_places_become_ras(
    tmp_path: Path,
    name: str,
    packed: bool,  # noqa: FBT001
) -> None:
    read = volumes.read_image(written(tmp_path, name, packed=packed))
    assert np.array_equal(read.array[0], ARRAY.T)
    expected = [[0, 2, 0, -5], [-1, 0, 0, -6], [0, 0, 3, 7], [0, 0, 0, 1]]
    assert np.allclose(read.affine, expected, atol=1e-12)


@pytest.mark.parametrize(("name", "packed"), FORMATS)
@pytest.mark.parametrize("cut", [1, 9, 100])
def test_truncated_data_are_refused(
    tmp_path: Path,
    name: str,
    packed: bool,  # noqa: FBT001
    cut: int,
) -> None:
    path = written(tmp_path, name, packed=packed)
    data = volumes.parts(path)[-1]
    data.write_bytes(data.read_bytes()[:-cut])
    with pytest.raises(DataError, match="truncated"):
        volumes.read_image(path)


@pytest.mark.parametrize(("name", "packed"), [item for item in FORMATS if item[1]])
@pytest.mark.parametrize("place", range(6, 200, 11))
def test_damaged_compressed_data_are_refused(
    tmp_path: Path,
    name: str,
    packed: bool,  # noqa: FBT001 - parametrised
    place: int,
) -> None:
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


@pytest.mark.parametrize("channels", [1, 3])
def test_a_metaimage_of_two_dimensions_is_a_slice_at_height_zero(
    tmp_path: Path, channels: int
) -> None:
    values = np.random.default_rng(0).normal(size=(5, 6, channels)).astype(np.float32)
    stored = values if channels > 1 else values[..., 0]
    image = sitk.GetImageFromArray(stored, isVector=channels > 1)
    image.SetSpacing((1.0, 2.0))
    image.SetOrigin((5.0, 6.0))
    image.SetDirection((0, -1, 1, 0))
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    read = volumes.read_image(tmp_path / "a.mha")
    assert np.array_equal(read.array, values.transpose(2, 1, 0)[..., None])
    assert np.allclose(read.affine, [[0, 2, 0, -5], [-1, 0, 0, -6], [0, 0, 1, 0], [0, 0, 0, 1]])


def test_a_nrrd_of_two_dimensions_does_not_say_where_it_lies(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(ARRAY[0]), str(tmp_path / "a.nrrd"))
    with pytest.raises(DataError, match="does not say where it lies"):
        volumes.header(tmp_path / "a.nrrd")


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


RAMP = np.arange(120, dtype="<i2").reshape(6, 5, 4)
META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "10 -20 30",
    "ElementSpacing": "1 1.5 2",
    "DimSize": "6 5 4",
    "ElementType": "MET_SHORT",
}
NRRD = {
    "type": "int16",
    "endian": "little",
    "encoding": "raw",
    "dimension": "3",
    "sizes": "6 5 4",
    "space": "left-posterior-superior",
    "space directions": "(1,0,0) (0,1.5,0) (0,0,2)",
    "space origin": "(10,-20,30)",
}
LPS_AFFINE = np.array([[-1, 0, 0, -10], [0, -1.5, 0, 20], [0, 0, 2, 30], [0, 0, 0, 1]])


def meta(folder: Path, **changes: str | None) -> Path:
    """A MetaImage by hand; None takes a field away."""
    said = {key: value for key, value in (META | changes).items() if value is not None}
    text = (
        "".join(f"{key} = {value}\n" for key, value in said.items()) + "ElementDataFile = LOCAL\n"
    )
    (folder / "a.mha").write_bytes(text.encode() + RAMP.tobytes(order="F"))
    return folder / "a.mha"


def nrrd(folder: Path, array: np.ndarray = RAMP, /, **changes: str | None) -> Path:
    """A NRRD file by hand; None takes a field away."""
    words = {key.replace("_", " "): value for key, value in changes.items()}
    said = {key: value for key, value in (NRRD | words).items() if value is not None}
    text = "NRRD0005\n" + "".join(f"{key}: {value}\n" for key, value in said.items()) + "\n"
    (folder / "a.nrrd").write_bytes(text.encode() + array.tobytes(order="F"))
    return folder / "a.nrrd"


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("Offset", None, "where it lies"),
        ("TransformMatrix", None, "where it lies"),
        ("ElementSpacing", None, "where it lies"),
        ("DistanceUnits", "furlong", "not a known unit"),
        ("ElementToIntensityFunctionSlope", "2", "most tools ignore"),
        ("ElementToIntensityFunctionOffset", "-1024", "most tools ignore"),
    ],
)
def test_a_doubtful_metaimage_is_refused(
    tmp_path: Path, field: str, value: str | None, complaint: str
) -> None:
    with pytest.raises(DataError, match=complaint):
        volumes.header(meta(tmp_path, **{field: value}))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"Offset": None, "Position": "10 -20 30"},
        {"TransformMatrix": None, "Orientation": "1 0 0 0 1 0 0 0 1"},
        {"DistanceUnits": "mm", "ElementToIntensityFunctionSlope": "1"},
        {"AnatomicalOrientation": "RAS"},
    ],
)
def test_a_metaimage_lies_in_lps(tmp_path: Path, changes: dict[str, str | None]) -> None:
    read = volumes.read_image(meta(tmp_path, **changes))
    assert np.array_equal(read.affine, LPS_AFFINE)
    assert np.array_equal(read.array[0], RAMP)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"space": None, "space directions": None, "space origin": None}, "where it lies"),
        (
            {"space": None, "space directions": None, "space origin": None, "spacings": "1 2 3"},
            "where it lies",
        ),
        ({"space": None, "space dimension": "3"}, "where it lies"),
        ({"space": "scanner-xyz"}, "where it lies"),
        ({"space": "right-up"}, "where it lies"),
        ({"space origin": None}, "where it lies"),
        ({"space units": '"m" "m" "m"'}, "1000 x 1500 x 2000 mm, as its header states metres"),
        ({"space units": '"mm" "mm" "um"'}, "several units"),
        ({"space directions": "(1,0,0) (0.3,1.5,0) (0,0,2)"}, "sheared"),
        ({"encoding": "ascii"}, "cannot be verified"),
    ],
)
def test_a_doubtful_nrrd_is_refused(
    tmp_path: Path, changes: dict[str, str | None], complaint: str
) -> None:
    with pytest.raises(DataError, match=complaint):
        volumes.read_image(nrrd(tmp_path, **changes))


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (-1, -1)),
        ("LPS", (-1, -1)),
        ("right-anterior-superior", (1, 1)),
        ("RAS", (1, 1)),
        ("left-anterior-superior", (-1, 1)),
    ],
)
def test_a_nrrd_lies_in_the_space_that_it_names(
    tmp_path: Path, space: str, signs: tuple[int, int]
) -> None:
    affine = volumes.header(nrrd(tmp_path, space=space, space_units='"mm" "mm" "mm"')).affine
    assert np.array_equal(affine, np.diag([-signs[0], -signs[1], 1, 1]) @ LPS_AFFINE)


@pytest.mark.parametrize("kind", ["list", "vector"])
@pytest.mark.parametrize("axis", [0, 3])
def test_a_list_axis_of_a_nrrd_is_channels(tmp_path: Path, kind: str, axis: int) -> None:
    stack = np.stack([RAMP, RAMP + 1, RAMP + 2], axis=axis)
    kinds, directions = ["domain"] * 3, NRRD["space directions"].split(" ")
    kinds.insert(axis, kind)
    directions.insert(axis, "none")
    fields = {
        "dimension": "4",
        "sizes": " ".join(map(str, stack.shape)),
        "kinds": " ".join(kinds),
        "space directions": " ".join(directions),
    }
    read = volumes.read_image(nrrd(tmp_path, stack, **fields))
    assert np.array_equal(read.array, np.moveaxis(stack, axis, 0))
    assert np.array_equal(read.affine, LPS_AFFINE)
