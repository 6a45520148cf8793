"""The pixels of one DICOM file: check of completeness, and values.

Plain pixels are read as stored. Compressed pixels are decoded by GDCM, which receives nothing else
of the file: given all of it, it would replace missing data by zeros, and scale values by rules for
each kind of scan.
"""

from __future__ import annotations

import contextlib
import itertools
import locale
import math
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import SimpleITK as sitk
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from tenter.formats import dicom_files
from tenter.formats.budgets import Budget
from tenter.formats.dicom_files import Image, UnusableError
from tenter.formats.payloads import BLOCK

_END_OF_JPEG = b"\xff\xd9"
"""End marker of all kinds of JPEG."""

_FILLING = b"\0\xff"
"""Padding bytes that may follow, to make the length even."""

_LONGEST_END = 2**12
"""Bytes at the end of a fragment that are searched for its end marker."""

MAX_DECODED = 2**27
"""Largest decoded size in bytes of a compressed frame: four times that of a large mammogram.

A compressed frame can only be decoded as a whole."""

COPIES = 3
"""Copies of a frame that GDCM, ITK and NumPy hold at the same time."""

_DECODING = Budget(2**28)
"""Bytes of decoded frames in memory at the same time, for all threads together."""


def read_image(path: Path) -> Image:
    """Read the description of a file's pixels, and verify that they are complete.

    Of the pixels themselves, only compressed ones are read.

    Raises:
        UnusableError: it is not a complete DICOM image with one grey value per pixel.
    """
    image = dicom_files.read_image(path)
    if image.syntax in dicom_files.NATIVE:
        _require_length(image)
    else:
        _require_whole_fragments(image)
    return image


def pieces(image: Image) -> Iterator[tuple[int, int, np.ndarray]]:
    """The unscaled values of a file in pieces: rows of plain pixels, frames of compressed ones.

    Yields:
        Index of the frame and of the first row, from 0, and values `[rows, columns]`.

    Raises:
        UnusableError: the pixels cannot be decoded.
    """
    if image.syntax not in dicom_files.NATIVE:
        yield from ((number, 0, frame) for number, frame in enumerate(_decoded_frames(image)))
        return
    count, rows, columns = image.shape
    size = columns * image.dtype.itemsize
    step = max(1, BLOCK // size)
    with image.path.open("rb") as stream:
        stream.seek(image.pixels.start)
        for number, first in itertools.product(range(count), range(0, rows, step)):
            height = min(step, rows - first)
            content = stream.read(height * size)
            if len(content) < height * size:
                message = "changed while it was read"
                raise UnusableError(message)
            values = np.frombuffer(content, image.dtype).reshape(height, columns)
            yield number, first, _significant(values, image)


def _require_length(image: Image) -> None:
    length = image.pixels.end - image.pixels.start
    expected = math.prod(image.shape) * image.dtype.itemsize
    if length < expected:
        message = f"is truncated: {length} of {expected} bytes of pixels"
        raise UnusableError(message)
    if length > expected + expected % 2:
        message = f"has {length} bytes of pixels, not the {expected} of its sizes"
        raise UnusableError(message)


def _require_whole_fragments(image: Image) -> None:
    count, rows, columns = image.shape
    parts = image.pixels.fragments
    if rows * columns * image.dtype.itemsize > MAX_DECODED:
        message = (
            f"holds compressed frames of {columns} x {rows} pixels; "
            "unpack it first (gdcmconv --raw)"
        )
        raise UnusableError(message)
    one_each = len(parts) == count
    with image.path.open("rb") as stream:
        if image.syntax == uid.RLELossless:
            sizes = (_unpacked(_read_range(stream, *part)) for part in parts)
            complete = one_each and all(size >= rows * columns for size in sizes)
        else:
            last = parts if one_each else parts[-1:]
            ends = (_read_range(stream, max(start, end - _LONGEST_END), end) for start, end in last)
            complete = len(parts) >= count and all(
                end.rstrip(_FILLING).endswith(_END_OF_JPEG) for end in ends
            )
    if not complete:
        message = "is truncated: its compressed pixels are incomplete"
        raise UnusableError(message)


def _read_range(stream: BinaryIO, start: int, end: int) -> bytes:
    stream.seek(start)
    return stream.read(end - start)


def _unpacked(frame: bytes) -> int:
    """Bytes in the shortest segment of a run-length encoded frame (PS3.5, annex G).

    0 if a segment is truncated.
    """
    if len(frame) < 64:
        return 0
    count, *offsets = struct.unpack("<16I", frame[:64])
    bounds = [*offsets[:count], len(frame)]
    if not 1 <= count <= 15 or sorted(bounds) != bounds or bounds[0] < 64:
        return 0
    return min(_run_lengths(frame[start:end]) for start, end in itertools.pairwise(bounds))


def _run_lengths(segment: bytes) -> int:
    length, position = 0, 0
    while position < len(segment) - 1:
        code = segment[position]
        if code == 128:
            position += 1
        elif code > 128:
            length += 257 - code
            position += 2
        else:
            length += code + 1
            position += code + 2
    return length if position <= len(segment) else 0


def _significant(values: np.ndarray, image: Image) -> np.ndarray:
    """Values without the insignificant bits, which may hold overlays; sign-extended."""
    stored, high = image.bits
    width = image.dtype.itemsize * 8
    if stored == width:
        return values
    plain = values.astype(values.dtype.newbyteorder("="))
    # Shifted left, the sign is the highest bit; shifting right again extends it.
    return (plain << (width - 1 - high)) >> (width - stored)


def _decoded_frames(image: Image) -> Iterator[np.ndarray]:
    """One array per frame if each frame is a single fragment; otherwise decode all together."""
    count, *_ = image.shape
    with image.path.open("rb") as stream:
        if len(image.pixels.fragments) != count:
            value = _read_range(stream, image.pixels.start, image.pixels.end)
            yield from _decoded(image, value)
            return
        single = replace(image, shape=(1, *image.shape[1:]))
        for start, end in image.pixels.fragments:
            yield _decoded(single, encapsulate([_read_range(stream, start, end)], has_bot=False))[0]


def _decoded(image: Image, value: bytes) -> np.ndarray:
    with _DECODING.hold(COPIES * math.prod(image.shape) * image.dtype.itemsize):
        values = _read_by_gdcm(image, value)
    if values.shape != image.shape or values.dtype.itemsize != image.dtype.itemsize:
        message = "holds compressed pixels whose size differs from the stated one"
        raise UnusableError(message)
    return values.astype(image.dtype, copy=False)


def _read_by_gdcm(image: Image, value: bytes) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.dcm"
        _bare(image, value).save_as(bare, enforce_file_format=True)
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(bare))
        try:
            with _preserved_locale():
                values: np.ndarray = sitk.GetArrayFromImage(reader.Execute())
        except RuntimeError as error:
            message = "holds compressed pixels that cannot be decoded"
            raise UnusableError(message) from error
    return values


@contextlib.contextmanager
def _preserved_locale() -> Iterator[None]:
    """Restore the locale: GDCM sets it to C, in which Python reads and writes text as ASCII."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


def _bare(image: Image, value: bytes) -> Dataset:
    """Compressed pixels, and only the elements needed to decode them."""
    bare = Dataset()
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = uid.UID(image.syntax)
    bare.SOPClassUID = uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    bare.SOPInstanceUID = uid.UID("2.25.1")
    bare.SamplesPerPixel, bare.PhotometricInterpretation = 1, "MONOCHROME2"
    bare.NumberOfFrames, bare.Rows, bare.Columns = image.shape
    bare.BitsAllocated = image.dtype.itemsize * 8
    bare.BitsStored, bare.HighBit = image.bits
    bare.PixelRepresentation = int(image.dtype.kind == "i")
    bare.PixelData = value
    bare["PixelData"].is_undefined_length = True
    return bare
