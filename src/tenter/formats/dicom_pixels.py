"""The pixels of one DICOM file: what they are, that all are there, and their stored values.

Plain pixels are read as they stand; compressed ones are decoded by GDCM, which is given nothing else of
the file: left alone it fills what is missing with zeros, and scales by rules for each kind of scan.
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
"""By which each kind of JPEG ends."""

_FILLING = b"\0\xff"
"""Bytes that may follow, to make the length even."""

_LONGEST_END = 2**12
"""Bytes at the end of a fragment among which its mark is looked for."""

MAX_DECODED = 2**27
"""Bytes of a compressed frame, which can only be decoded whole: four times those of a large mammogram."""

_LONGEST_END = 2**12
"""Bytes at the end of a fragment among which its mark is looked for."""

COPIES = 3
"""Copies of a frame that GDCM, ITK and NumPy hold at a time."""

_DECODING = Budget(2**28)
"""Bytes of decoded frames in memory at a time, all threads together."""


@dataclass(frozen=True, slots=True)
class Image:
    """What a file says of its pixels, all of which are there.

    Attributes:
        path: the file.
        syntax: UID of the transfer syntax.
        shape: frames, rows, columns.
        dtype: of the stored values.
        bits: how many of a value's bits count, and the number of the highest.
        said: elements that hold for all frames.
        groups: elements of each frame alone; empty where the file has no such groups.
        pixels: where they lie.
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
    """What a file says of its pixels; reads none of them but compressed ones.

    Raises:
        UnusableError: it is no whole DICOM image of one grey value a pixel.
    """
    said = tags.read_elements(path)
    pixels = said.get(tags.PIXELS)
    if not isinstance(pixels, Pixels):
        message = "holds no pixels (a report or the like, or cut off)"
        raise UnusableError(message)
    image = _described(path, said, pixels)
    if image.syntax in tags.NATIVE:
        _require_length(image)
    else:
        _require_whole_fragments(image)
    return image


def pieces(image: Image) -> Iterator[tuple[int, int, np.ndarray]]:
    """The values of a file, unscaled, piece by piece: plain pixels by rows, compressed ones by frames.

    Yields:
        Frame and first row, from 0, and `[rows, columns]`.

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


def _described(path: Path, said: Elements, pixels: Pixels) -> Image:
    grey = said.get(tags.PHOTOMETRIC, "MONOCHROME2") in {"MONOCHROME1", "MONOCHROME2"}
    if not grey or said.get(tags.SAMPLES, 1) != 1:
        message = "holds colours"
        raise UnusableError(message)
    if tags.VALUE_TABLE in said:
        message = "maps its values by a table"
        raise UnusableError(message)
    sizes = (tags.ROWS, tags.COLUMNS, tags.ALLOCATED, tags.STORED, tags.HIGH, tags.SIGNED)
    whole = [size for size in map(said.get, sizes) if isinstance(size, int)]
    (frames,) = tags.decimals(said.get(tags.FRAMES) or "1", 1)
    if len(whole) < len(sizes) or frames != int(frames) or not 1 <= frames <= pixels.end:
        message = "does not say how its pixels are stored"
        raise UnusableError(message)
    rows, columns, allocated, stored, high, signed = whole
    if allocated not in {8, 16, 32} or not 1 <= stored <= high + 1 <= allocated or signed > 1:
        message = f"stores {stored} of {allocated} bits a pixel, which cannot be read"
        raise UnusableError(message)
    syntax = str(said[tags.SYNTAX])
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
        said=said | _inside(said.get(tags.SHARED_GROUPS)),
        groups=_groups(said.get(tags.FRAME_GROUPS), int(frames)),
        pixels=pixels,
    )


def _groups(items: object, frames: int) -> tuple[Elements, ...]:
    if not isinstance(items, list):
        return ({},) * frames
    if len(items) != frames:
        message = f"has {frames} frames but describes {len(items)}"
        raise UnusableError(message)
    return tuple(_inside([item]) for item in items)


def _inside(items: object) -> Elements:
    """The elements inside the functional groups that these items hold."""
    found: Elements = {}
    for item in items if isinstance(items, list) else []:
        for tag in tags.GROUPS:
            for inner in item.get(tag, []):
                found |= inner
    return found


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
        message = f"holds compressed frames of {columns} x {rows} pixels; unpack it first (gdcmconv --raw)"
        raise UnusableError(message)
    one_each = len(parts) == count
    with image.path.open("rb") as stream:
        if image.syntax == tags.RLE:
            sizes = (_unpacked(_between(stream, *part)) for part in parts)
            whole = one_each and all(size >= rows * columns for size in sizes)
        else:
            last = parts if one_each else parts[-1:]
            ends = (_between(stream, max(start, end - _LONGEST_END), end) for start, end in last)
            whole = len(parts) >= count and all(end.rstrip(_FILLING).endswith(_END_OF_JPEG) for end in ends)
    if not whole:
        message = "is truncated: its compressed pixels are not whole"
        raise UnusableError(message)


def _between(stream: BinaryIO, start: int, end: int) -> bytes:
    stream.seek(start)
    return stream.read(end - start)


def _unpacked(frame: bytes) -> int:
    """Bytes in the shortest segment of a run-length encoded frame (PS3.5, annex G); 0 if one is cut."""
    if len(frame) < 64:
        return 0
    count, *offsets = struct.unpack("<16I", frame[:64])
    bounds = [*offsets[:count], len(frame)]
    if not 1 <= count <= 15 or sorted(bounds) != bounds or bounds[0] < 64:
        return 0
    return min(_run_lengths(frame[start:end]) for start, end in itertools.pairwise(bounds))


def _run_lengths(segment: bytes) -> int:
    length, place = 0, 0
    while place < len(segment) - 1:
        code = segment[place]
        if code == 128:
            place += 1
        elif code > 128:
            length += 257 - code
            place += 2
        else:
            length += code + 1
            place += code + 2
    return length if place <= len(segment) else 0


def _significant(values: np.ndarray, image: Image) -> np.ndarray:
    """Values without the bits that do not count, which may hold overlays, and with their sign."""
    stored, high = image.bits
    width = image.dtype.itemsize * 8
    if stored == width:
        return values
    plain = values.astype(values.dtype.newbyteorder("="))
    # Shifted to the left the sign is the highest bit; back to the right it fills the others.
    return (plain << (width - 1 - high)) >> (width - stored)


def _decoded_frames(image: Image) -> Iterator[np.ndarray]:
    """Frame by frame where each is a fragment by itself; else all of them together."""
    count, *_ = image.shape
    with image.path.open("rb") as stream:
        if len(image.pixels.fragments) != count:
            value = _between(stream, image.pixels.start, image.pixels.end)
            yield from _decoded(image, value)
            return
        alone = replace(image, shape=(1, *image.shape[1:]))
        for start, end in image.pixels.fragments:
            yield _decoded(alone, _encapsulated(_between(stream, start, end)))[0]


def _encapsulated(fragment: bytes) -> bytes:
    """A value of one fragment: an empty table of offsets, the fragment, and the mark of the end."""
    items = ((0xE000, b""), (0xE000, fragment), (0xE0DD, b""))
    return b"".join(struct.pack("<HHI", 0xFFFE, number, len(data)) + data for number, data in items)


def _decoded(image: Image, value: bytes) -> np.ndarray:
    with _DECODING.hold(COPIES * math.prod(image.shape) * image.dtype.itemsize):
        values = _read_by_gdcm(image, value)
    if values.shape != image.shape or values.dtype.itemsize != image.dtype.itemsize:
        message = "holds compressed pixels of other sizes than it says"
        raise UnusableError(message)
    return values.astype(image.dtype, copy=False)


def _read_by_gdcm(image: Image, value: bytes) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.dcm"
        bare.write_bytes(_bare(image, value))
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(bare))
        try:
            with _locale_kept():
                values: np.ndarray = sitk.GetArrayFromImage(reader.Execute())
        except RuntimeError as error:
            message = "holds compressed pixels that cannot be decoded"
            raise UnusableError(message) from error
    return values


@contextlib.contextmanager
def _locale_kept() -> Iterator[None]:
    """GDCM sets its process's locale to C, by which Python then reads and writes texts as ASCII."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


def _bare(image: Image, value: bytes) -> bytes:
    """A DICOM file that holds compressed pixels and what it takes to decode them."""
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
        struct.pack("<HH2sHI", tags.PIXELS >> 16, tags.PIXELS & 0xFFFF, b"OB", 0, 0xFFFFFFFF) + value,
    ]
    return bytes(128) + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta)) + meta + b"".join(body)


def _text(tag: int, kind: bytes, value: bytes) -> bytes:
    value += (b"\0" if kind == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, kind, len(value)) + value


def _short(tag: int, value: int) -> bytes:
    return struct.pack("<HH2sHH", tag >> 16, tag & 0xFFFF, b"US", 2, value)
