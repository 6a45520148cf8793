from __future__ import annotations

import locale
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import uid

from builders import dicoms
from tenter.formats import dicom_pixels
from tenter.formats.dicom_files import UnusableError

ROWS, COLUMNS = 16, 20
RAMP = (np.add.outer(np.arange(ROWS), np.arange(COLUMNS)) // 3 * 7 + 100).astype(np.uint16)
END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def runs(values: np.ndarray) -> bytes:
    """PackBits: runs where a byte is repeated, else single literals; of even length."""
    packed, place = bytearray(), 0
    data = values.tobytes()
    while place < len(data):
        run = 1
        while run < 128 and data[place : place + run + 1] == data[place : place + 1] * (run + 1):
            run += 1
        packed += bytes([257 - run if run > 1 else 0, data[place]])
        place += run
    return bytes(packed) + b"\0" * (len(packed) % 2)


def rle_frame(plane: np.ndarray) -> bytes:
    """Two segments, of the high and the low bytes."""
    segments = [runs((plane >> 8).astype(np.uint8)), runs((plane & 255).astype(np.uint8))]
    head = struct.pack("<16I", 2, 64, 64 + len(segments[0]), *[0] * 13)
    return head + b"".join(segments)


def fragments(*parts: bytes) -> bytes:
    """Compressed parts behind an empty table of offsets."""
    items = [struct.pack("<HHI", 0xFFFE, 0xE000, len(part)) + part for part in (b"", *parts)]
    return b"".join(items) + END


def compressed(path: Path, syntax: str, value: bytes, frames: int = 1) -> Path:
    """A file whose pixels are these fragments."""
    elements = dicoms.pixel_elements(np.repeat(RAMP[None], frames, axis=0))
    del elements[dicoms.PIXELS]
    elements[dicoms.FRAMES] = ("IS", str(frames))
    dicoms.write(path, elements, syntax)
    head = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
    path.write_bytes(path.read_bytes() + head + value)
    return path


def by_itk(path: Path, array: np.ndarray, kind: str) -> Path:
    """A slice that SimpleITK compressed."""
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.UseCompressionOn()
    writer.SetCompressor(kind)
    writer.SetFileName(str(path))
    writer.Execute(sitk.GetImageFromArray(array[None]))
    return path


def values(path: Path) -> np.ndarray:
    return dicoms.all_frames(dicom_pixels.read_image(path))


def test_decoding_leaves_the_locale_alone(tmp_path: Path) -> None:
    before = locale.setlocale(locale.LC_ALL)
    path = by_itk(tmp_path / "a.dcm", RAMP, "JPEG2000")
    locale.setlocale(locale.LC_ALL, before)
    values(path)
    assert locale.setlocale(locale.LC_ALL) == before


def test_run_lengths_are_decoded_frame_by_frame(tmp_path: Path) -> None:
    frames = [rle_frame(RAMP), rle_frame(RAMP + 1000)]
    path = compressed(tmp_path / "a.dcm", uid.RLELossless, fragments(*frames), frames=2)
    assert np.array_equal(values(path), np.stack([RAMP, RAMP + 1000]))


@pytest.mark.parametrize("kind", ["JPEG2000", "JPEG"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16])
def test_what_itk_compressed_without_loss_is_read(
    tmp_path: Path, kind: str, dtype: type[np.generic]
) -> None:
    array = (RAMP - 100).astype(dtype)
    image = dicom_pixels.read_image(by_itk(tmp_path / "a.dcm", array, kind))
    assert image.pixels.fragments
    assert np.array_equal(dicoms.all_frames(image)[0], array)


@pytest.mark.parametrize("cut", [2, 4, 40, 300])
def test_a_cut_run_inside_sound_fragments_is_refused(tmp_path: Path, cut: int) -> None:
    path = compressed(tmp_path / "a.dcm", uid.RLELossless, fragments(rle_frame(RAMP)[:-cut]))
    with pytest.raises(UnusableError, match="truncated"):
        dicom_pixels.read_image(path)


@pytest.mark.parametrize("kind", ["JPEG2000", "JPEG"])
@pytest.mark.parametrize("cut", [4, 20])
def test_a_cut_jpeg_inside_sound_fragments_is_refused(tmp_path: Path, kind: str, cut: int) -> None:
    path = by_itk(tmp_path / "a.dcm", RAMP, kind)
    image = dicom_pixels.read_image(path)
    content = path.read_bytes()
    start, end = image.pixels.fragments[-1]
    length = struct.pack("<I", end - start - cut)
    path.write_bytes(content[: start - 4] + length + content[start : end - cut] + content[end:])
    with pytest.raises(UnusableError, match="truncated"):
        dicom_pixels.read_image(path)


def test_fewer_parts_than_frames_are_refused(tmp_path: Path) -> None:
    path = compressed(tmp_path / "a.dcm", uid.RLELossless, fragments(rle_frame(RAMP)), frames=2)
    with pytest.raises(UnusableError, match="truncated"):
        dicom_pixels.read_image(path)


@pytest.mark.parametrize("tail", [b"", END[:4], struct.pack("<HHI", 0xFFFE, 0xE00D, 0)])
def test_compressed_pixels_that_do_not_end_are_refused(tmp_path: Path, tail: bytes) -> None:
    value = fragments(rle_frame(RAMP))[: -len(END)] + tail
    with pytest.raises(UnusableError, match=r"truncated|pixels is missing"):
        dicom_pixels.read_image(compressed(tmp_path / "a.dcm", uid.RLELossless, value))


def test_jpeg_that_is_none_is_refused(tmp_path: Path) -> None:
    path = compressed(tmp_path / "a.dcm", "1.2.840.10008.1.2.4.90", fragments(b"nothing!\xff\xd9"))
    with pytest.raises(UnusableError, match="cannot be decoded"):
        values(path)


WIDE = (np.uint16, np.int16, np.uint32, np.int32)


@pytest.mark.parametrize(
    ("dtype", "syntax"),
    [(dtype, dicoms.EXPLICIT) for dtype in (np.uint8, np.int8, *WIDE)]
    + [(dtype, dicoms.BIG_ENDIAN) for dtype in WIDE],
)
def test_plain_pixels_of_each_type_are_read(
    tmp_path: Path, dtype: type[np.generic], syntax: str
) -> None:
    limits = np.iinfo(dtype)  # type: ignore[type-var] # integers all
    planes = np.array([[[limits.min, 0, 1], [2, 3, limits.max]]]).astype(dtype)
    path = dicoms.write(tmp_path / "a.dcm", dicoms.pixel_elements(planes, syntax), syntax)
    assert np.array_equal(values(path), planes)


def test_an_odd_number_of_bytes_is_filled_up(tmp_path: Path) -> None:
    planes = np.arange(15, dtype=np.uint8).reshape(1, 3, 5)
    assert np.array_equal(
        values(dicoms.write(tmp_path / "a.dcm", dicoms.pixel_elements(planes))), planes
    )


def test_bytes_that_may_be_swapped_are_refused(tmp_path: Path) -> None:
    elements = dicoms.pixel_elements(np.zeros((1, 3, 4), np.uint8), dicoms.BIG_ENDIAN)
    with pytest.raises(UnusableError, match="swapped bytes"):
        dicom_pixels.read_image(dicoms.write(tmp_path / "a.dcm", elements, dicoms.BIG_ENDIAN))
