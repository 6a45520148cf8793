"""MetaImage and NRRD, read by SimpleITK after every byte of their data was verified.

SimpleITK returns images from files whose compressed data are cut or damaged; it never does here.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from isal import igzip

from tenter.data import headers
from tenter.data.headers import Header, refusal

READERS = {".mha": "MetaImageIO", ".mhd": "MetaImageIO", ".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO"}
SUFFIXES = tuple(READERS)
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
LONGEST_HEADER = 2**20
AGAIN = "export the image again, or convert it to NIfTI"


@dataclass(frozen=True, slots=True)
class _Payload:
    """Where a file's voxels lie, and how they are packed (`raw`, `zlib` or `gzip`)."""

    data: Path
    offset: int
    packing: str


def parts(path: Path) -> tuple[Path, ...]:
    """The files that make up a volume: the header's, and the one it points to.

    Raises:
        DataError: the header cannot be read.
    """
    data = _payload(path).data
    return (path,) if data == path else (path, data)


def header(path: Path) -> Header:
    """Read and verify a header.

    Raises:
        DataError: the file or its header cannot be relied on.
    """
    for part in parts(path):
        headers.require_file(part)
    return _described(path, _reader(path))


def voxels(path: Path) -> tuple[Header, np.ndarray]:
    """Header, and values `[x, y, z]` or `[x, y, z, c]`, after the last byte was verified.

    Raises:
        DataError: the data are truncated or damaged.
    """
    head = header(path)
    expected = math.prod(head.shape) * head.channels * head.dtype.itemsize
    _verify(path, _payload(path), expected)
    image = _reader(path).Execute()
    array = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        array = np.moveaxis(array, -1, 0)
    array = array.reshape((head.channels, *head.shape[::-1])).transpose(3, 2, 1, 0)
    return head, array if head.channels > 1 else array[..., 0]


def _reader(path: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetImageIO(READERS[path.suffix.lower()])
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise refusal(path, f"cannot be read ({reason})", AGAIN) from error
    return reader


def _described(path: Path, reader: sitk.ImageFileReader) -> Header:
    components, sizes = reader.GetNumberOfComponents(), list(reader.GetSize())
    if components > 1 and any(size > 1 for size in sizes[3:]):
        raise refusal(path, f"has {components} values a voxel and sizes {sizes}", "give one or the other")
    shape, channels = headers.sized(path, [*sizes[:3], components] if components > 1 else sizes)
    dtype = _dtype(path, reader)
    axes = len(sizes)
    matrix = np.eye(4)
    direction = np.array(reader.GetDirection()).reshape(axes, axes)[:3, :3]
    matrix[:3, :3] = direction * np.array(reader.GetSpacing()[:3])
    matrix[:3, 3] = reader.GetOrigin()[:3]
    return Header(shape, channels, headers.placed(path, LPS @ matrix), dtype)


def _dtype(path: Path, reader: sitk.ImageFileReader) -> np.dtype[np.generic]:
    name = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    names = {"float": "float32", "double": "float64"}
    words = name.replace("vector of ", "").split()
    if "complex" in words or "label" in words:
        raise refusal(path, f"holds {name} values", "store one real number (int16, float32) a voxel")
    if words[0] in {"32-bit", "64-bit"} and words[1] == "float":
        return np.dtype(names["float" if words[0] == "32-bit" else "double"])
    bits = words[0].partition("-")[0]
    return np.dtype(f"{'u' if 'unsigned' in words else ''}int{bits}")


def _payload(path: Path) -> _Payload:
    try:
        with path.open("rb") as stream:
            start = stream.read(LONGEST_HEADER)
    except OSError:
        headers.require_file(path)
        raise
    meta = path.suffix.lower() in {".mha", ".mhd"}
    return _meta_payload(path, start) if meta else _nrrd_payload(path, start)


def _meta_payload(path: Path, start: bytes) -> _Payload:
    said: dict[str, str] = {}
    offset = 0
    for line in start.split(b"\n"):
        offset += len(line) + 1
        key, found, value = line.decode("latin-1").partition("=")
        if not found:
            break
        said[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            break
    name = said.get("ElementDataFile", "")
    if not name or name == "LIST" or "%" in name:
        raise refusal(path, "is no MetaImage of one data file", AGAIN)
    if said.get("BinaryData", "True").lower() == "false" or said.get("HeaderSize", "0") != "0":
        raise refusal(path, "holds text or skips bytes before its voxels", AGAIN)
    packing = "zlib" if said.get("CompressedData", "False").lower() == "true" else "raw"
    local = name.upper() == "LOCAL"
    return _Payload(path if local else path.parent / name, offset if local else 0, packing)


def _nrrd_payload(path: Path, start: bytes) -> _Payload:
    if not start.startswith(b"NRRD"):
        raise refusal(path, "is no NRRD file", AGAIN)
    text, found, _ = start.replace(b"\r\n", b"\n").partition(b"\n\n")
    gap = b"\r\n\r\n" if b"\r\n\r\n" in start[: len(text) * 2] else b"\n\n"
    said: dict[str, str] = {}
    for line in text.decode("latin-1").splitlines()[1:]:
        key, _, value = line.partition(":")
        said[key.strip().lower().replace(" ", "")] = value.lstrip("=").strip()
    packing = {"raw": "raw", "gzip": "gzip", "gz": "gzip"}.get(said.get("encoding", "").lower())
    name = said.get("datafile", "")
    skips = {said.get("byteskip", "0"), said.get("lineskip", "0")} != {"0"}
    if packing is None or skips or name.upper().startswith("LIST") or "%" in name:
        raise refusal(path, "is packed in a way that cannot be verified", AGAIN)
    if name:
        return _Payload(path.parent / name, 0, packing)
    if not found:
        raise refusal(path, "is truncated inside its header", "copy it again from its source")
    return _Payload(path, start.index(gap) + len(gap), packing)


def _verify(path: Path, payload: _Payload, expected: int) -> None:
    try:
        unpacked = _unpacked_bytes(payload, expected)
    except headers.UNREADABLE as error:
        raise refusal(path, f"is truncated or damaged ({error})", "copy it again from its source") from error
    if unpacked != expected:
        what = f"is truncated or damaged: {unpacked} bytes of voxels, its header claims {expected}"
        raise refusal(path, what, "copy it again from its source")


def _unpacked_bytes(payload: _Payload, expected: int) -> int:
    """Bytes of voxels, at most `expected` + 1; checksums of packed ones are verified."""
    with payload.data.open("rb") as stream:
        stream.seek(payload.offset)
        if payload.packing == "raw":
            return payload.data.stat().st_size - payload.offset
        if payload.packing == "gzip":
            with igzip.open(stream, "rb") as unpacked:
                return _length(iter(lambda: unpacked.read(2**20), b""), expected)
        inflater = zlib.decompressobj()
        blocks = (inflater.decompress(block) for block in iter(lambda: stream.read(2**16), b""))
        length = _length(blocks, expected)
        if length <= expected and not inflater.eof:
            message = "the compressed data end too early"
            raise EOFError(message)
        return length


def _length(blocks: Iterable[bytes], expected: int) -> int:
    length = 0
    for block in blocks:
        length += len(block)
        if length > expected:
            break
    return length
