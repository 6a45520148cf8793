"""The elements of one DICOM file, parsed to the last byte, so that truncated files are detected.

Implements the encoding (DICOM PS3.5 and PS3.10). Keeps only the elements that describe the pixels
and their position; no name, date or other text leaves this module.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

NATIVE = {
    "1.2.840.10008.1.2": ("<", False),
    "1.2.840.10008.1.2.1": ("<", True),
    "1.2.840.10008.1.2.2": (">", True),
}
"""Transfer syntax of plain pixels to byte order, and whether elements state their type (VR)."""

JPEG = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81, 90, 91))
"""The kinds of JPEG, lossless JPEG, JPEG-LS and JPEG 2000 that GDCM decodes."""

RLE = "1.2.840.10008.1.2.5"

SYNTAX, PIXELS = 0x00020010, 0x7FE00010
FRAMES, ROWS, COLUMNS = 0x00280008, 0x00280010, 0x00280011
SAMPLES, PHOTOMETRIC = 0x00280002, 0x00280004
ALLOCATED, STORED, HIGH, SIGNED = 0x00280100, 0x00280101, 0x00280102, 0x00280103
SERIES, POSITION, ORIENTATION, SPACING = 0x0020000E, 0x00200032, 0x00200037, 0x00280030
THICKNESS = 0x00180050
INTERCEPT, SLOPE, VALUE_TABLE = 0x00281052, 0x00281053, 0x00283000
SHARED_GROUPS, FRAME_GROUPS = 0x52009229, 0x52009230
GROUPS = (0x00209113, 0x00209116, 0x00289110, 0x00289145)
"""Sequences of functional groups: position, orientation, pixel measures, value transformation."""

_NUMBERS = (SAMPLES, ROWS, COLUMNS, ALLOCATED, STORED, HIGH, SIGNED)
_TEXTS = (SERIES, POSITION, ORIENTATION, SPACING, THICKNESS, INTERCEPT, SLOPE, FRAMES, PHOTOMETRIC)
_SEQUENCES = (SHARED_GROUPS, FRAME_GROUPS, VALUE_TABLE, *GROUPS)
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
"""Types of elements (VR) with a length field of four bytes."""

_UNDEFINED = 0xFFFFFFFF
_DEEPEST = 16
_LONGEST_TEXT = 2**12

Elements: TypeAlias = dict[int, object]
"""Tag to integer, text, items (each of them `Elements`) or `Pixels`."""


class UnusableError(Exception):
    """The fault of one file, without the file name."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """Byte range of the pixels in a file.

    Attributes:
        start: first byte of the value.
        end: byte after the last one.
        fragments: start and end of each compressed part; empty for plain pixels.
    """

    start: int
    end: int
    fragments: tuple[tuple[int, int], ...] = ()


def read_elements(path: Path) -> Elements:
    """Parse a file to its last byte.

    Returns:
        The elements that describe its pixels, always including `SYNTAX`.

    Raises:
        UnusableError: it is not a complete DICOM file of a known encoding.
    """
    if not path.is_file():
        raise UnusableError("is a broken link" if path.is_symlink() else "is not a regular file")
    try:
        with path.open("rb") as stream:
            return _walked(stream, path.stat().st_size)
    except OSError as error:
        message = f"cannot be read ({error.strerror})"
        raise UnusableError(message) from error


def decimals(value: object, count: int) -> tuple[float, ...]:
    """The decimal numbers of an element.

    Raises:
        UnusableError: they are not `count` finite numbers.
    """
    try:
        numbers = tuple(float(text) for text in str(value).split("\\"))
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        message = "holds numbers in its geometry or scaling that cannot be read"
        raise UnusableError(message)
    return numbers


def _walked(stream: BinaryIO, size: int) -> Elements:
    start = stream.read(132)
    if start[128:] != b"DICM":
        raise UnusableError("is not a DICOM file" if start else "is empty (0 bytes)")
    syntax = _syntax(stream, _Walk(stream, size, "<", typed=True))
    if syntax not in {*NATIVE, *JPEG, RLE}:
        message = "is encoded or compressed in a way that cannot be verified"
        raise UnusableError(message)
    order, typed = NATIVE.get(syntax, ("<", True))
    return _Walk(stream, size, order, typed=typed).elements(size) | {SYNTAX: syntax}


def _syntax(stream: BinaryIO, walk: _Walk) -> str:
    """The transfer syntax in the elements of group 2; leaves the stream after that group."""
    syntax = ""
    position = stream.tell()
    while stream.read(2) == b"\x02\x00":
        stream.seek(position)
        tag, _, length = walk.element()
        value = walk.take(length)
        syntax = value.decode("latin-1").strip(" \0") if tag == SYNTAX else syntax
        position = stream.tell()
    stream.seek(position)
    return syntax


class _Walk:
    """A parser at a position in a stream of elements of one encoding."""

    def __init__(self, stream: BinaryIO, size: int, order: str, *, typed: bool) -> None:
        self.stream, self.size, self.order, self.typed = stream, size, order, typed

    def take(self, count: int) -> bytes:
        """Read the next bytes; all of them must exist."""
        self._require(count)
        return self.stream.read(count)

    def skip(self, count: int) -> None:
        """Skip bytes; all of them must exist."""
        self._require(count)
        self.stream.seek(count, 1)

    def _require(self, count: int) -> None:
        end = self.stream.tell() + count
        if end > self.size:
            message = f"is truncated: {self.size} of at least {end} bytes"
            raise UnusableError(message)

    def element(self) -> tuple[int, bytes, int]:
        """Tag, type (VR; empty if the encoding is implicit) and length of the next element."""
        group, number = struct.unpack(f"{self.order}HH", self.take(4))
        kind, form = b"", "I"
        if self.typed and group != _ITEM >> 16:
            kind = self.take(2)
            if not (kind.isalpha() and kind.isupper()):
                message = "is damaged: an element has an unknown type"
                raise UnusableError(message)
            form = "H"
            if kind in _LONG:
                self.take(2)
                form = "I"
        (length,) = struct.unpack(f"{self.order}{form}", self.take(struct.calcsize(form)))
        return group << 16 | number, kind, length

    def elements(self, end: int | None, depth: int = 0) -> Elements:
        """Elements up to a byte, or to the end of an item of undefined length."""
        elements: Elements = {}
        while end is None or self.stream.tell() < end:
            tag, kind, length = self.element()
            if tag == _ITEM_END:
                return elements
            if tag == PIXELS:
                elements[tag] = self._pixels(length)
            elif tag in _SEQUENCES or length == _UNDEFINED:
                elements[tag] = self._sequence(length, kind, depth + 1)
            elif tag in _NUMBERS and length == 2:
                (elements[tag],) = struct.unpack(f"{self.order}H", self.take(2))
            elif tag in _TEXTS and length <= _LONGEST_TEXT:
                elements[tag] = self.take(length).decode("latin-1").strip(" \0")
            else:
                self.skip(length)
        if end != self.stream.tell():
            message = "is damaged: an element is longer than its container"
            raise UnusableError(message)
        return elements

    def _pixels(self, length: int) -> Pixels:
        start = self.stream.tell()
        if length != _UNDEFINED:
            self.skip(length)
            return Pixels(start, start + length)
        fragments = []
        while (element := self.element())[0] == _ITEM:
            position = self.stream.tell()
            self.skip(element[2])
            fragments.append((position, position + element[2]))
        if element[0] != _SEQUENCE_END:
            message = "is damaged: the end of its compressed pixels is missing"
            raise UnusableError(message)
        # The first item is a table of offsets.
        return Pixels(start, self.stream.tell(), tuple(fragments[1:]))

    def _sequence(self, length: int, kind: bytes, depth: int) -> list[Elements]:
        if depth > _DEEPEST:
            message = "is damaged: its elements are nested too deeply"
            raise UnusableError(message)
        # A sequence of unknown type (UN) is encoded with implicit types (PS3.5, 6.2.2).
        inner = _Walk(self.stream, self.size, "<", typed=False) if kind == b"UN" else self
        end = None if length == _UNDEFINED else self.stream.tell() + length
        return list(inner.items(end, depth))

    def items(self, end: int | None, depth: int) -> Iterator[Elements]:
        """The items of a sequence up to a byte, or to its end marker."""
        while end is None or self.stream.tell() < end:
            tag, _, length = self.element()
            if tag == _SEQUENCE_END:
                return
            if tag != _ITEM:
                message = "is damaged: a sequence holds something other than items"
                raise UnusableError(message)
            yield self.elements(
                None if length == _UNDEFINED else self.stream.tell() + length, depth
            )
