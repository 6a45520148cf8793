from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tenter.errors import DataError
from tenter.formats import nifti, volumes

SHAPE = (6, 5, 4)
NOISE = np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32)
AFFINE = np.array([[0.0, 2, 0, 5], [-1.5, 0, 0, 6], [0, 0, 3, -7], [0, 0, 0, 1]])

Alter = Callable[[bytearray], None]


def saved(path: Path, array: np.ndarray = NOISE, affine: np.ndarray = AFFINE) -> Path:
    image = nib.Nifti1Image(array, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    nib.save(image, path)
    return path


def altered(path: Path, offset: int, form: str, *values: float) -> Path:
    """A plain .nii with some header field overwritten."""
    content = bytearray(saved(path).read_bytes())
    struct.pack_into(form, content, offset, *values)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i2", ">i2", "u2", "i4", ">f4", "f8"])
def test_values_and_affine_are_nibabels(tmp_path: Path, dtype: str) -> None:
    path = saved(tmp_path / "image.nii.gz", NOISE.astype(dtype))
    read = volumes.read_image(path)
    assert np.array_equal(read.array[0], NOISE.astype(dtype).astype(np.float32))
    assert np.array_equal(read.affine, AFFINE)


def test_nifti_2_is_read(tmp_path: Path) -> None:
    nib.save(nib.Nifti2Image(NOISE, AFFINE), tmp_path / "image.nii")
    assert np.array_equal(volumes.read_image(tmp_path / "image.nii").array[0], NOISE)


@pytest.mark.parametrize("named", ["image.hdr", "image.img"])
def test_a_pair_of_files_is_read_by_either_name(tmp_path: Path, named: str) -> None:
    nib.save(nib.Nifti1Pair(NOISE, AFFINE), tmp_path / "image.hdr")
    assert np.array_equal(volumes.read_image(tmp_path / named).array[0], NOISE)
    assert [part.name for part in volumes.parts(tmp_path / named)] == ["image.hdr", "image.img"]


def test_the_header_is_read_without_the_voxels(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "image.nii.gz", np.random.default_rng(0).random((64, 64, 64), np.float32)
    )
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert volumes.header(path).shape == (64, 64, 64)
    with pytest.raises(DataError, match=r"\d+ of 1048928 bytes"):
        volumes.read_image(path)


@pytest.mark.parametrize("kept", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, kept: float) -> None:
    path = saved(tmp_path / name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DataError, match=r"image\.nii.*(truncated|unpacked|not a NIfTI)"):
        volumes.read_image(path)


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_missing_gzip_trailer_is_refused(tmp_path: Path, cut: int) -> None:
    path = saved(tmp_path / "image.nii.gz")
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(DataError, match="truncated or damaged"):
        volumes.read_image(path)


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_of_compressed_data_changes_a_value_unnoticed(
    tmp_path_factory: pytest.TempPathFactory, share: float, bit: int
) -> None:
    path = saved(tmp_path_factory.mktemp("flip") / "image.nii.gz")
    content = bytearray(path.read_bytes())
    content[10 + int(share * (len(content) - 10))] ^= 1 << bit
    path.write_bytes(content)
    try:
        read = volumes.read_image(path)
    except DataError:
        return
    assert np.array_equal(read.array[0], NOISE)


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
def test_data_beyond_what_the_header_claims_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = saved(tmp_path / "plain.nii").read_bytes() + bytes(10**6)
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(DataError, match="longer than the 832 bytes"):
        volumes.read_image(path)


@pytest.mark.parametrize("sizes", [(32000, 32000, 32000), (-5, 5, 4), (0, 5, 4), (1000, 1000, 900)])
def test_absurd_sizes_are_refused_before_memory_is_taken(
    tmp_path: Path, sizes: tuple[int, ...]
) -> None:
    path = altered(tmp_path / "image.nii", 42, "<3h", *sizes)
    with pytest.raises(DataError, match=r"header (claims sizes|is wrong)"):
        volumes.read_image(path)


@pytest.mark.parametrize(
    ("offset", "form", "values", "complaint"),
    [
        (252, "<2h", (0, 0), "does not say where it lies"),
        (268, "<f", (9.0,), "sform and qform disagree by up to 4 mm"),
        (80, "<f", (0.0,), "pixdim"),
        (80, "<f", (float("nan"),), "pixdim"),
        (80, "<f", (1.9,), "by its sform"),
        (280, "<f", (float("nan"),), "NaN"),
        (312, "<4f", (0.0, 0.0, 0.0, 0.0), "singular"),
        (284, "<f", (0.3,), "pixdim|sheared|disagree"),
        (123, "<B", (1,), "metres"),
        (70, "<2h", (128, 24), "RGB"),
        (70, "<2h", (32, 64), "complex"),
        (70, "<2h", (77, 8), "unknown data type"),
        (112, "<2f", (1.0, float("nan")), "intercept"),
        (40, "<h", (9,), "9 axes"),
        (108, "<f", (20.0,), "begin at byte"),
        (344, "<4s", (b"\0\0\0\0",), "Analyze"),
    ],
)
def test_a_doubtful_header_is_refused(
    tmp_path: Path, offset: int, form: str, values: tuple[float, ...], complaint: str
) -> None:
    path = altered(tmp_path / "image.nii", offset, form, *values)
    with pytest.raises(DataError, match=complaint) as caught:
        volumes.header(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_shear_is_refused(tmp_path: Path) -> None:
    sheared = AFFINE.copy()
    sheared[0, 2] = 0.3
    with pytest.raises(DataError, match="sheared"):
        volumes.header(saved(tmp_path / "image.nii", affine=sheared))


@pytest.mark.parametrize(
    ("codes", "taken"), [((1, 0), "qform"), ((0, 1), "sform"), ((1, 1), "sform")]
)
def test_the_form_that_has_a_code_is_taken(
    tmp_path: Path, codes: tuple[int, int], taken: str
) -> None:
    path = altered(tmp_path / "image.nii", 252, "<2h", *codes)
    moved = 0.0 if codes == (1, 1) else 50.0
    content = bytearray(path.read_bytes())
    struct.pack_into("<f", content, 268, 5.0 + moved)
    path.write_bytes(content)
    assert volumes.header(path).affine[0, 3] == 5.0 + moved * (taken == "qform")


def test_rounding_between_the_forms_is_accepted(tmp_path: Path) -> None:
    path = altered(tmp_path / "image.nii", 268, "<f", 5.0 + 5e-4)
    assert volumes.header(path).affine[0, 3] == 5.0


@settings(max_examples=80, deadline=None)
@given(
    axis=arrays.arrays(np.float64, 3, elements=st.floats(-1, 1)).filter(
        lambda a: np.linalg.norm(a) > 0.1
    ),
    short_of_half_a_turn=st.floats(-7, 0).map(lambda power: 10**power),
    flipped=st.booleans(),
)
def test_a_qform_written_from_its_sform_never_disagrees(
    axis: np.ndarray, short_of_half_a_turn: float, *, flipped: bool
) -> None:
    angle = np.pi - short_of_half_a_turn
    cross = np.cross(np.eye(3), -axis / np.linalg.norm(axis))
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross) * [
        0.8,
        0.8,
        3.0,
    ]
    affine[:3, 0] *= -1 if flipped else 1
    affine[:3, 3] = (-90.0, 126.0, -72.0)
    header = nib.Nifti1Header()
    header.set_data_shape((512, 512, 60))
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1)
    stored = nib.Nifti1Header(header.binaryblock)
    # 100 times faster than by files
    read = nifti._affine(Path("image.nii"), stored, (512, 512, 60))  # noqa: SLF001
    assert np.allclose(read, affine, atol=1e-4)


@pytest.mark.parametrize(
    ("slope", "inter", "factor", "added"),
    [(0.0, 5.0, 1, 0), (float("nan"), 5.0, 1, 0), (float("inf"), 5.0, 1, 0), (2.0, 1.0, 2, 1)],
)
def test_a_slope_that_is_none_scales_nothing(
    tmp_path: Path, slope: float, inter: float, factor: int, added: int
) -> None:
    path = altered(tmp_path / "image.nii", 112, "<2f", slope, inter)
    assert np.array_equal(volumes.read_image(path).array[0], NOISE * factor + added)


@pytest.mark.parametrize(
    ("shape", "kept", "channels"),
    [
        ((6, 5, 4, 1), SHAPE, 1),
        ((6, 5, 4, 1, 1), SHAPE, 1),
        ((6, 5, 4, 3), SHAPE, 3),
        ((6, 5, 4, 1, 3), SHAPE, 3),
    ],
)
def test_single_trailing_axes_are_dropped_and_a_fourth_axis_is_channels(
    tmp_path: Path, shape: tuple[int, ...], kept: tuple[int, ...], channels: int
) -> None:
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    path = saved(tmp_path / "image.nii.gz", array)
    assert volumes.header(path).shape == kept
    read = volumes.read_image(path).array
    assert np.array_equal(read, np.moveaxis(array.reshape(*kept, channels), 3, 0))


@pytest.mark.parametrize(
    "shape", [(6,), (6, 1), (6, 1, 1), (1, 5, 1), (1, 1, 4, 3), (6, 5, 4, 2, 3)]
)
def test_rows_of_voxels_and_five_axes_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"is a row of voxels|5 axes"):
        volumes.header(saved(tmp_path / "image.nii", np.zeros(shape, np.uint8)))


@pytest.mark.parametrize(
    ("shape", "kept", "channels"),
    [
        ((6, 5), (6, 5, 1), 1),
        ((6, 5, 1), (6, 5, 1), 1),
        ((6, 1, 4), (6, 1, 4), 1),
        ((6, 5, 1, 3), (6, 5, 1), 3),
        ((6, 5, 1, 1, 3), (6, 5, 1), 3),
    ],
)
def test_a_slice_is_a_volume_one_voxel_thick(
    tmp_path: Path, shape: tuple[int, ...], kept: tuple[int, ...], channels: int
) -> None:
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    read = volumes.read_image(saved(tmp_path / "image.nii", array))
    assert np.array_equal(read.array, np.moveaxis(array.reshape(*kept, channels), 3, 0))
    assert np.allclose(read.affine, AFFINE, atol=1e-6)


PIXDIM_Z, SROW, QFORM_CODE, SFORM_CODE = 88, 280, 252, 254


@pytest.mark.parametrize("form", ["sform", "qform"])
def test_a_slice_without_thickness_is_one_millimetre_thick(tmp_path: Path, form: str) -> None:
    path = saved(tmp_path / "image.nii", NOISE[..., :1])
    content = bytearray(path.read_bytes())
    struct.pack_into("<f", content, PIXDIM_Z, 0.0)
    struct.pack_into("<h", content, QFORM_CODE if form == "sform" else SFORM_CODE, 0)
    for row in range(3):
        struct.pack_into("<f", content, SROW + 16 * row + 8, 0.0)
    path.write_bytes(content)
    affine = volumes.header(path).affine
    expected = AFFINE.copy()
    expected[:3, 2] = (0, 0, 1)
    assert np.allclose(affine, expected, atol=1e-5)


def test_a_volume_without_a_voxel_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="voxel size"):
        volumes.header(altered(tmp_path / "image.nii", PIXDIM_Z, "<f", 0.0))


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.nii.gz", b"", "is empty"),
        ("a.nii.gz", b"<!DOCTYPE html><html>", "web page"),
        ("a.nii.gz", b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
        ("a.nii.gz", gzip.compress(b"hello" * 100, mtime=0), "not a NIfTI file"),
        ("a.nii", gzip.compress(bytes(400), mtime=0), "not named so"),
        ("a.nii.gz", bytes(400), "not gzip-compressed"),
        ("a.nii", bytes(400), "not a NIfTI file"),
        ("a.jpg", b"x", "suffix of a known format"),
    ],
)
def test_what_is_no_image_is_refused(
    tmp_path: Path, name: str, content: bytes, complaint: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=complaint):
        volumes.header(tmp_path / name)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        volumes.header(tmp_path / "none.nii.gz")
    (tmp_path / "folder.nii").mkdir()
    with pytest.raises(DataError, match="is a folder without a DICOM image"):
        volumes.header(tmp_path / "folder.nii")


@pytest.mark.parametrize("qfac", [0.0, -0.0, 1.0, 0.5, 2.0, float("nan")])
@pytest.mark.parametrize("sform_code", [0, 1])
@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz", "image.img"])
def test_a_qfac_that_is_not_negative_counts_as_one(
    tmp_path: Path, qfac: float, sform_code: int, name: str
) -> None:
    affine = np.array([[0, -2.0, 0, 5], [2.0, 0, 0, 6], [0, 0, 2.5, 7], [0, 0, 0, 1]])
    pair = name.endswith("img")
    image = nib.Nifti1Pair(NOISE, affine) if pair else nib.Nifti1Image(NOISE, affine)
    image.set_sform(affine, sform_code)
    image.set_qform(affine, 1)
    nib.save(image, tmp_path / name)
    header = tmp_path / name.replace(".img", ".hdr")
    raw = bytearray(
        gzip.decompress(header.read_bytes()) if name.endswith("gz") else header.read_bytes()
    )
    struct.pack_into("<f", raw, 76, qfac)
    header.write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    assert np.allclose(volumes.read_image(tmp_path / name).affine, affine, atol=1e-6)


@pytest.mark.parametrize("qfac", [-1.0, -0.5, -3.0])
def test_a_negative_qfac_turns_the_third_axis(tmp_path: Path, qfac: float) -> None:
    path = saved(tmp_path / "image.nii")
    raw = bytearray(path.read_bytes())
    struct.pack_into("<f", raw, 76, qfac)
    struct.pack_into("<h", raw, 254, 0)
    path.write_bytes(raw)
    read = volumes.read_image(path).affine
    expected = sitk.ReadImage(str(path))
    assert np.allclose(
        read[:3, 2], np.diag([-1, -1, 1]) @ expected.GetDirection()[2::3] * expected.GetSpacing()[2]
    )
