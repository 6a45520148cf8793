"""The pixels of one DICOM file: description, check of completeness, and values.

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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import SimpleITK as sitk

from tenter.formats import dicom_elements as tags
from tenter.formats.budgets import Budget
from tenter.formats.dicom_elements import Elements, Pixels, UnusableError
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


@dataclass(frozen=True, slots=True)
class Image:
    """The description of a file's pixels, which were verified to be complete.

    Attributes:
        path: the file.
        syntax: UID of the transfer syntax.
        shape: frames, rows, columns.
        dtype: of the stored values.
        bits: number of significant bits of a value, and index of the highest.
        said: elements that apply to all frames.
        groups: elements specific to each frame; empty if the file has no such groups.
        pixels: where they are in the file.
    """

    path: Path
    syntax: str
    shape: tuple[int, int, int]
    dtype: np.dtype[np.generic]
    bits: tuple[int, int]
    said: Mapping[int, object]
    groups: tuple[Mapping[int, object], ...]
    pixels: Pixels


def read_image(path: Path) -> Image:
    """Read the description of a file's pixels, and verify that they are complete.

    Of the pixels themselves, only compressed ones are read.

    Raises:
        UnusableError: it is not a complete DICOM image with one grey value per pixel.
    """
    elements = tags.read_elements(path)
    pixels = elements.get(tags.PIXELS)
    if not isinstance(pixels, Pixels):
        message = "holds no pixels (it is a report, for example, or truncated)"
        raise UnusableError(message)
    image = _image(path, elements, pixels)
    if image.syntax in tags.NATIVE:
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
    if image.syntax not in tags.NATIVE:
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


def _image(path: Path, elements: Elements, pixels: Pixels) -> Image:
    grey = elements.get(tags.PHOTOMETRIC, "MONOCHROME2") in {"MONOCHROME1", "MONOCHROME2"}
    if not grey or elements.get(tags.SAMPLES, 1) != 1:
        message = "holds colours"
        raise UnusableError(message)
    if tags.VALUE_TABLE in elements:
        message = "maps its values through a lookup table"
        raise UnusableError(message)
    sizes = (tags.ROWS, tags.COLUMNS, tags.ALLOCATED, tags.STORED, tags.HIGH, tags.SIGNED)
    integers = [size for size in map(elements.get, sizes) if isinstance(size, int)]
    (frames,) = tags.decimals(elements.get(tags.FRAMES) or "1", 1)
    if len(integers) < len(sizes) or frames != int(frames) or not 1 <= frames <= pixels.end:
        message = "does not say how its pixels are stored"
        raise UnusableError(message)
    rows, columns, allocated, stored, high, signed = integers
    if allocated not in {8, 16, 32} or not 1 <= stored <= high + 1 <= allocated or signed > 1:
        message = f"stores {stored} of {allocated} bits a pixel, which cannot be read"
        raise UnusableError(message)
    syntax = str(elements[tags.SYNTAX])
    order, _ = tags.NATIVE.get(syntax, ("<", True))
    if (order, allocated) == (">", 8):
        message = "is encoded with swapped bytes, which cannot be verified"  # as words or as bytes?
        raise UnusableError(message)
    return Image(
        path=path,
        syntax=syntax,
        shape=(int(frames), rows, columns),
        dtype=np.dtype(f"{order}{'i' if signed else 'u'}{allocated // 8}"),
        bits=(stored, high),
        said=elements | _functional_elements(elements.get(tags.SHARED_GROUPS)),
        groups=_groups(elements.get(tags.FRAME_GROUPS), int(frames)),
        pixels=pixels,
    )


def _groups(groups: object, frames: int) -> tuple[Elements, ...]:
    if not isinstance(groups, list):
        return ({},) * frames
    if len(groups) != frames:
        message = f"has {frames} frames but describes {len(groups)}"
        raise UnusableError(message)
    return tuple(_functional_elements([group]) for group in groups)


def _functional_elements(groups: object) -> Elements:
    """The elements inside the functional groups of these items."""
    elements: Elements = {}
    for group in groups if isinstance(groups, list) else []:
        for tag in tags.GROUPS:
            for inner in group.get(tag, []):
                elements |= inner
    return elements


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
        if image.syntax == tags.RLE:
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
            yield _decoded(single, _encapsulated(_read_range(stream, start, end)))[0]


def _encapsulated(fragment: bytes) -> bytes:
    """A value of one fragment: an empty table of offsets, the fragment, and the end marker."""
    items = ((0xE000, b""), (0xE000, fragment), (0xE0DD, b""))
    return b"".join(struct.pack("<HHI", 0xFFFE, number, len(data)) + data for number, data in items)


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
        bare.write_bytes(_minimal_file(image, value))
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


def _minimal_file(image: Image, value: bytes) -> bytes:
    """A DICOM file with compressed pixels and only the elements needed to decode them."""
    kind = b"1.2.840.10008.5.1.4.1.1.7.3"  # secondary capture of several frames
    frames, rows, columns = image.shape
    stored, high = image.bits
    sizes = {
        tags.ROWS: rows,
        tags.COLUMNS: columns,
        tags.ALLOCATED: image.dtype.itemsize * 8,
        tags.STORED: stored,
        tags.HIGH: high,
        tags.SIGNED: int(image.dtype.kind == "i"),
    }
    meta = _text(0x00020002, b"UI", kind) + _text(0x00020003, b"UI", b"2.25.1")
    meta += _text(tags.SYNTAX, b"UI", image.syntax.encode())
    body = [
        _text(0x00080016, b"UI", kind) + _text(0x00080018, b"UI", b"2.25.1"),
        _short(tags.SAMPLES, 1),
        _text(tags.PHOTOMETRIC, b"CS", b"MONOCHROME2"),
        _text(tags.FRAMES, b"IS", str(frames).encode()),
        *(_short(tag, size) for tag, size in sizes.items()),
        struct.pack("<HH2sHI", tags.PIXELS >> 16, tags.PIXELS & 0xFFFF, b"OB", 0, 0xFFFFFFFF)
        + value,
    ]
    return (
        bytes(128)
        + b"DICM"
        + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta))
        + meta
        + b"".join(body)
    )


def _text(tag: int, kind: bytes, value: bytes) -> bytes:
    value += (b"\0" if kind == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, kind, len(value)) + value


def _short(tag: int, value: int) -> bytes:
    return struct.pack("<HH2sHH", tag >> 16, tag & 0xFFFF, b"US", 2, value)
