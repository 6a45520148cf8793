"""Voxels read in blocks: as whole as by other libraries, and truthful about what is missing."""

from __future__ import annotations

import gzip
import io
import itertools
import re
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from tenter.errors import DataError
from tenter.formats import payloads, volumes

NOISE = np.random.default_rng(0).normal(100, 20, (20, 19, 18)).astype(np.float32)
SIZE = NOISE.nbytes


def nifti(path: Path, array: np.ndarray = NOISE) -> Path:
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    return path


def by_itk(path: Path, array: np.ndarray = NOISE, *, vector: bool = False) -> Path:
    image = sitk.GetImageFromArray(
        np.ascontiguousarray(array.transpose(2, 1, 0, 3) if vector else array.T), vector
    )
    sitk.WriteImage(image, str(path), useCompression=True)
    return path


def together(path: Path) -> np.ndarray:
    """All blocks of a volume, `[c, x, y, z]`."""
    head = volumes.header(path)
    values = np.full((head.channels, int(np.prod(head.shape))), np.nan)
    for block in volumes.blocks(path):
        place = slice(block.start, block.start + block.values.shape[1])
        values[block.channel : block.channel + len(block.values), place] = block.values
    return values.reshape((head.channels, *head.shape[::-1])).transpose(0, 3, 2, 1)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.97, 0.99])
@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha"])
def test_a_cut_file_says_how_much_of_it_there_is(tmp_path: Path, name: str, share: float) -> None:
    path = nifti(tmp_path / name) if name == "a.nii.gz" else by_itk(tmp_path / name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError) as caught:
        volumes.read_image(path)
    found = re.search(r"truncated or damaged at its end: (\d+) of (\d+) bytes", str(caught.value))
    assert found is not None
    assert abs(int(found[1]) / int(found[2]) - share) < 0.05


def test_the_count_is_what_zlib_can_unpack(tmp_path: Path) -> None:
    path = nifti(tmp_path / "a.nii.gz")
    content = path.read_bytes()[:-3000]
    path.write_bytes(content)
    unpacked = len(zlib.decompressobj(wbits=31).decompress(content))
    with pytest.raises(DataError, match=f": {unpacked} of {SIZE + 352} bytes can be unpacked"):
        volumes.read_image(path)


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<f4", ">f4", "<u1", "<f8", ">f8"])
@pytest.mark.parametrize("channels", [1, 3])
def test_blocks_of_nifti_are_what_nibabel_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, channels: int
) -> None:
    array = np.random.default_rng(0).integers(0, 99, (5, 6, 7, channels)).astype(dtype)
    path = nifti(tmp_path / "a.nii.gz", array)
    monkeypatch.setattr(payloads, "BLOCK", 101)
    stored = nib.load(path).get_fdata()  # type: ignore[attr-defined]
    assert np.array_equal(together(path), np.moveaxis(stored, 3, 0))


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"])
@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd", "a.nhdr"])
@pytest.mark.parametrize("vector", [False, True])
def test_blocks_are_what_simpleitk_reads(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dtype: str,
    name: str,
    vector: bool,  # noqa: FBT001 - parametrised
) -> None:
    array = (
        np.random.default_rng(0)
        .integers(0, 99, (5, 6, 7, 3) if vector else (5, 6, 7))
        .astype(dtype)
    )
    path = by_itk(tmp_path / name, array, vector=vector)
    read = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    monkeypatch.setattr(payloads, "BLOCK", 101)
    assert np.array_equal(together(path), read.transpose(3, 2, 1, 0) if vector else read.T[None])


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<f4", ">f4", ">u2"])
@pytest.mark.parametrize("field", ["BinaryDataByteOrderMSB", "ElementByteOrderMSB"])
def test_a_metaimage_has_the_order_of_bytes_that_it_states(
    tmp_path: Path, dtype: str, field: str
) -> None:
    array = np.arange(120).reshape(6, 5, 4).astype(dtype)
    kinds = {"i2": "SHORT", "u2": "USHORT", "f4": "FLOAT"}
    text = (
        f"ObjectType = Image\nNDims = 3\nBinaryData = True\n{field} = {dtype[0] == '>'}\n"
        "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n"
        "ElementSpacing = 1 1 1\nDimSize = 6 5 4\n"
        f"ElementType = MET_{kinds[dtype[1:]]}\nElementDataFile = LOCAL\n"
    )
    (tmp_path / "a.mha").write_bytes(text.encode() + array.tobytes(order="F"))
    assert np.array_equal(together(tmp_path / "a.mha")[0], array)


@pytest.mark.parametrize(
    ("name", "size"), [("LONG", 4), ("ULONG", 4), ("LONG_LONG", 8), ("INT", 4), ("CHAR", 1)]
)
def test_whole_numbers_of_a_metaimage_are_as_long_as_itk_reads_them(
    tmp_path: Path, name: str, size: int
) -> None:
    array = np.arange(120).reshape(6, 5, 4).astype(f"<i{size}")
    text = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n"
        "ElementSpacing = 1 1 1\nDimSize = 6 5 4\n"
        f"ElementType = MET_{name}\nElementDataFile = LOCAL\n"
    )
    (tmp_path / "a.mha").write_bytes(text.encode() + array.tobytes(order="F"))
    assert np.array_equal(together(tmp_path / "a.mha")[0], array)
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.mha"))).T, array)


@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 5000), max_size=4),
    zeros=st.integers(0, 3),
    block=st.integers(1, 700),
)
def test_members_of_a_gzip_stream_are_read_as_gzip_reads_them(
    cuts: list[int], zeros: int, block: int
) -> None:
    content = np.random.default_rng(0).integers(0, 9, 5000, dtype="u1").tobytes()
    ends = [0, *sorted(cuts), len(content)]
    packed = b"".join(gzip.compress(content[a:b]) for a, b in itertools.pairwise(ends)) + bytes(
        zeros
    )
    unpacked = list(payloads.unpacked(io.BytesIO(packed), "gzip", block))
    assert b"".join(unpacked) == gzip.decompress(packed) == content
    assert max(map(len, unpacked)) <= block


def test_what_follows_a_gzip_stream_must_be_gzip() -> None:
    with pytest.raises(gzip.BadGzipFile):
        list(payloads.unpacked(io.BytesIO(gzip.compress(b"abc") + b"more"), "gzip", 9))
