"""One DICOM file: pydicom parses it, and nothing incomplete or ambiguous is accepted.

pydicom returns what it can read of a truncated file. Here it reads through a stream that does not
let it pass the end, so that every element is complete. Only values that describe the pixels and
their position are kept; no name, date or other text leaves this module.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

import numpy as np
from pydicom import uid
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import parse_fragments
from pydicom.filereader import data_element_generator, read_sequence

from tenter.formats.image_format import Finding, unsupported

# An unknown character set matters only for texts that are not kept.
warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.charset")

NATIVE = {uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian}
"""Transfer syntaxes of plain pixels."""

JPEG = {*uid.JPEGTransferSyntaxes, *uid.JPEGLSTransferSyntaxes, uid.JPEG2000Lossless, uid.JPEG2000}
"""The kinds of JPEG, lossless JPEG, JPEG-LS and JPEG 2000 that GDCM decodes."""

_SIZES = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
_TEXTS = (
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
    *("RescaleSlope", "RescaleIntercept"),
    *("SeriesInstanceUID", "NumberOfFrames", "PhotometricInterpretation"),
)
_GROUPS = (
    *("PlanePositionSequence", "PlaneOrientationSequence"),
    *("PixelMeasuresSequence", "PixelValueTransformationSequence"),
)
_ITEM = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
"""Tag that begins an item, in either byte order."""

SEGMENTATION = re.compile(rb"1\.2\.840\.10008\.5\.1\.4\.1\.1\.66\.[47](?![0-9.])")
"""DICOM classes of segmentations: binary, fractional, and label maps."""

_SHARED, _FRAMES = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
_UNDEFINED = 0xFFFFFFFF
_LONGEST = 2**12
"""Bytes of the longest value that is kept in memory."""


Element: TypeAlias = DataElement | RawDataElement


class UnusableError(Exception):
    """The fault of one file, without the file name."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """Byte range of the pixels in a file.

    Attributes:
        start: first byte of the value.
        end: byte after the last one, or after the last fragment.
        fragments: start and end of each compressed part; empty for plain pixels.
    """

    start: int
    end: int
    fragments: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """The description of a file's pixels.

    Attributes:
        path: the file.
        syntax: UID of the transfer syntax.
        shape: frames, rows, columns.
        dtype: of the stored values.
        bits: number of significant bits of a value, and index of the highest.
        frames: for each frame, the texts of elements by their DICOM keyword.
        pixels: where they are in the file.
    """

    path: Path
    syntax: str
    shape: tuple[int, int, int]
    dtype: np.dtype[np.generic]
    bits: tuple[int, int]
    frames: tuple[Mapping[str, str], ...]
    pixels: Pixels


class _BoundedFile:
    """A file in which it is a fault to read or skip past the end.

    pydicom regards the end of a file as the end of the elements, wherever it is. Between two
    elements it reads there once; inside a sequence or a value, it then reads or skips once more.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self.fault = ""
        self.ended = False

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        position = self._file.seek(offset, whence)
        self._require(position)
        return position

    def read(self, count: int) -> bytes:
        if self.tell() == self._size and not self.ended:
            self.ended = True
            return b""
        self._require(self.tell() + count)
        return self._file.read(count)

    def _require(self, end: int) -> None:
        if end > self._size:
            # pydicom catches some exceptions, so the fault is also recorded.
            self.fault = f"is truncated: {self._size} of at least {end} bytes"
            raise UnusableError(self.fault)


def read_image(path: Path) -> Image:
    """Read the description of a file's pixels; refuse a file with an incomplete element.

    Raises:
        UnusableError: it is not a complete DICOM image with one grey value per pixel.
    """
    if not path.is_file():
        raise UnusableError("is a broken link" if path.is_symlink() else "is not a regular file")
    try:
        with path.open("rb") as file:
            start = file.read(132)
            if start[128:] != b"DICM":
                raise UnusableError("is not a DICOM file" if start else "is empty (0 bytes)")
            return _parsed(path, _BoundedFile(file, path.stat().st_size))
    except OSError as error:
        message = f"cannot be read ({error.strerror})"
        raise UnusableError(message) from error


def decimals(text: str, count: int) -> tuple[float, ...]:
    """The decimal numbers of an element.

    Raises:
        UnusableError: they are not `count` finite numbers.
    """
    try:
        numbers = tuple(float(number) for number in text.split("\\"))
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        message = "holds numbers in its geometry or scaling that cannot be read"
        raise UnusableError(message)
    return numbers


def _parsed(path: Path, file: _BoundedFile) -> Image:
    try:
        image = _image(path, file)
    except UnusableError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            raise
        message = "is damaged: its elements cannot be parsed"
        if isinstance(error, RecursionError):
            message = "is damaged: its elements are nested too deeply"
        raise UnusableError(file.fault or ("is truncated" if file.ended else message)) from error
    if file.fault:
        raise UnusableError(file.fault)
    return image


def _image(path: Path, file: _BoundedFile) -> Image:
    # The elements of group 2 are always explicit and little-endian.
    meta = _elements(file, uid.ExplicitVRLittleEndian, lambda tag, *_: tag >> 16 != 2)
    syntax = _text(meta.get_item("TransferSyntaxUID"))
    if syntax not in {*NATIVE, *JPEG, uid.RLELossless}:
        message = "is encoded or compressed in a way that cannot be verified"
        raise UnusableError(message)
    elements = _elements(file, syntax)
    if not file.ended:
        message = "is damaged: an item ends outside a sequence"
        raise UnusableError(message)
    pixels = _pixels(file, elements.get_item("PixelData", keep_deferred=True))
    count, (rows, columns, allocated, stored, high, signed) = _sizes(elements, pixels)
    order = ">" if syntax == uid.ExplicitVRBigEndian else "<"
    if (order, allocated) == (">", 8):
        message = "is encoded with swapped bytes, which cannot be verified"  # as words or as bytes?
        raise UnusableError(message)
    dtype = np.dtype(f"{order}{'i' if signed else 'u'}{allocated // 8}")
    frames = tuple(_frames(file, elements, count))
    return Image(path, syntax, (count, rows, columns), dtype, (stored, high), frames, pixels)


def _elements(
    file: _BoundedFile, syntax: str, stop_when: Callable[..., bool] | None = None
) -> Dataset:
    generator = data_element_generator(
        cast("BinaryIO", file),
        is_implicit_VR=syntax == uid.ImplicitVRLittleEndian,
        is_little_endian=syntax != uid.ExplicitVRBigEndian,
        stop_when=stop_when,
        defer_size=_LONGEST,
    )
    elements = {element.tag: element for element in generator}
    if any(element.VR is None and not element.is_implicit_VR for element in elements.values()):
        message = "is damaged: an element has an unknown type"
        raise UnusableError(message)
    return Dataset(elements)


def _text(element: Element | None) -> str:
    """The text of an element; empty if it is absent, or too long for one of `_TEXTS`."""
    value = element.value if isinstance(element, RawDataElement) else None
    return (value or b"").decode("latin-1").strip(" \0")


def _integer(element: Element | None) -> int | None:
    if not isinstance(element, RawDataElement) or element.length != 2:
        return None
    return int.from_bytes(element.value or b"", "little" if element.is_little_endian else "big")


def _items(file: _BoundedFile, element: Element | None) -> list[Dataset]:
    """The items of a sequence, which must fill it exactly."""
    if element is None:
        return []
    if not isinstance(element, RawDataElement):
        sequence = element.value
    else:
        file.seek(element.value_tell)
        # A sequence of unknown type (UN) is encoded with implicit types (PS3.5, 6.2.2).
        implicit = element.is_implicit_VR or element.VR == "UN"
        sequence = read_sequence(
            cast("BinaryIO", file), implicit, element.is_little_endian, element.length, "latin-1"
        )
        if file.tell() != element.value_tell + element.length:
            message = "is damaged: an element is longer than its container"
            raise UnusableError(message)
    for item in sequence:
        file.seek(item.file_tell)
        if file.read(4) not in _ITEM:
            message = "is damaged: a sequence holds something other than items"
            raise UnusableError(message)
    return list(sequence)


def _frames(file: _BoundedFile, elements: Dataset, count: int) -> Iterator[dict[str, str]]:
    """Texts of each frame: its own, those shared by all frames, and those of the file."""
    shared = _items(file, elements.get_item(_SHARED, keep_deferred=True))
    common = _texts(elements) | _grouped(file, shared)
    if _FRAMES not in elements:
        groups = [Dataset()] * count
    else:
        groups = _items(file, elements.get_item(_FRAMES, keep_deferred=True))
    if len(groups) != count:
        message = f"has {count} frames but describes {len(groups)}"
        raise UnusableError(message)
    if count > 1:
        common.pop("ImagePositionPatient", None)  # which cannot be that of each frame
    yield from (common | _grouped(file, [group]) for group in groups)


def _texts(elements: Dataset) -> dict[str, str]:
    return {name: _text(elements.get_item(name)) for name in _TEXTS if name in elements}


def _grouped(file: _BoundedFile, groups: Iterable[Dataset]) -> dict[str, str]:
    """The texts inside the functional groups of these items."""
    texts: dict[str, str] = {}
    for group in groups:
        for name in _GROUPS:
            for item in _items(file, group.get_item(name)):
                texts |= _texts(item)
    return texts


def _pixels(file: _BoundedFile, element: Element | None) -> Pixels:
    if not isinstance(element, RawDataElement):
        message = "holds no pixels (it is a report, for example, or truncated)"
        raise UnusableError(message)
    start = element.value_tell
    if element.length != _UNDEFINED:
        return Pixels(start, start + element.length)
    file.seek(start)
    fragments = []
    for position in parse_fragments(cast("BinaryIO", file))[1]:
        file.seek(position + 4)
        length = int.from_bytes(file.read(4), "little")
        fragments.append((position + 8, position + 8 + length))
    # The first item is a table of offsets.
    return Pixels(start, fragments[-1][1] if fragments else start, tuple(fragments[1:]))


def _sizes(elements: Dataset, pixels: Pixels) -> tuple[int, list[int]]:
    """Number of frames, and the `_SIZES`; refuses anything but one grey value per pixel."""
    grey = _text(elements.get_item("PhotometricInterpretation")) or "MONOCHROME2"
    samples = _integer(elements.get_item("SamplesPerPixel"))
    if grey not in {"MONOCHROME1", "MONOCHROME2"} or samples not in {None, 1}:
        message = "holds colours"
        raise UnusableError(message)
    if "ModalityLUTSequence" in elements:
        message = "maps its values through a lookup table"
        raise UnusableError(message)
    integers = [_integer(elements.get_item(name)) for name in _SIZES]
    sizes = [integer for integer in integers if integer is not None]
    (frames,) = decimals(_text(elements.get_item("NumberOfFrames")) or "1", 1)
    if len(sizes) < len(_SIZES) or frames != int(frames) or not 1 <= frames <= pixels.end:
        message = "does not say how its pixels are stored"
        raise UnusableError(message)
    _, _, allocated, stored, high, signed = sizes
    if allocated not in {8, 16, 32} or not 1 <= stored <= high + 1 <= allocated or signed > 1:
        message = f"stores {stored} of {allocated} bits a pixel, which cannot be read"
        raise UnusableError(message)
    return int(frames), sizes


def marked(path: Path, part: Path) -> Finding:
    """The kind of a series, of which a part is given: always an image.

    Raises:
        InputError: it is a segmentation.
    """
    with part.open("rb") as stream:
        start = stream.read(2048)
    if SEGMENTATION.search(start):
        fix = (
            "convert it to NIfTI (dcmqi: segimage2itkimage), and give the result with --kind labels"
        )
        raise unsupported(path, "is a DICOM segmentation, which is not read", fix)
    return Finding("image", "it is a DICOM series")
