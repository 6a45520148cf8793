"""MetaImage and NRRD, read by SimpleITK after every byte of their data was verified.

SimpleITK returns images from files whose compressed data are cut or damaged, and takes a place, a unit
or a scaling that it does not know for its own; it never does here.
"""

from __future__ import annotations

import math
import re
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

PLACES = (
    ("Offset", "Position", "Origin"),
    ("TransformMatrix", "Orientation", "Rotation"),
    ("ElementSpacing",),
)
"""What says where a MetaImage lies, each with its other names."""

SPACES = ("right-anterior-superior", "left-anterior-superior", "left-posterior-superior")
"""NRRD's names of anatomical spaces; also in short, and with time."""

MILLIMETRES = frozenset(("", "?", "mm", "millimeter", "millimeters", "millimetre", "millimetres"))


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
    said, _ = _read_text(path)
    if _is_meta(path):
        _require_meta(path, said)
    else:
        _require_nrrd(path, said)
    return _described(path, _reader(path))


def text_header(path: Path) -> dict[str, str]:
    """The fields of a header as text; those of NRRD in lower case and without blanks in their names.

    Raises:
        DataError: the header cannot be read.
    """
    return _read_text(path)[0]


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
    space = [*sizes[:3], *[1] * (3 - len(sizes))]
    shape, channels = headers.sized(path, [*space, components] if components > 1 else sizes)
    dtype = _dtype(path, reader)
    axes, held = len(sizes), min(len(sizes), 3)
    matrix = np.diag([*[1.0] * held, *[headers.THICKNESS_MM] * (3 - held), 1.0])
    direction = np.array(reader.GetDirection()).reshape(axes, axes)[:held, :held]
    matrix[:held, :held] = direction * np.array(reader.GetSpacing()[:held])
    matrix[:held, 3] = reader.GetOrigin()[:held]
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


def _is_meta(path: Path) -> bool:
    return path.suffix.lower() in {".mha", ".mhd"}


def _require_meta(path: Path, said: dict[str, str]) -> None:
    """Refuse a MetaImage about which tools would differ."""
    for names in PLACES:
        if not said.keys() & set(names):
            raise refusal(path, f"does not say where it lies (no {names[0]} in its header)", AGAIN)
    if said.get("DistanceUnits", "").lower() not in MILLIMETRES:
        raise refusal(path, "is not measured in mm (DistanceUnits)", "export it in mm")
    for name, usual in (("ElementToIntensityFunctionSlope", 1.0), ("ElementToIntensityFunctionOffset", 0.0)):
        if _number(said.get(name, str(usual))) != usual:
            raise refusal(path, f"says {name}, which most tools ignore", "store the scaled values themselves")


def _require_nrrd(path: Path, said: dict[str, str]) -> None:
    """Refuse a NRRD file about which tools would differ."""
    space = said.get("space", "").lower().removesuffix("-time").removesuffix("t")
    short = {"".join(word[0] for word in name.split("-")) for name in SPACES}
    # No name fits four axes: ITK writes none then, and means LPS as it always does.
    named = space in {*SPACES, *short} or said.get("spacedimension") == "4"
    if not named or not {"spacedirections", "spaceorigin"} <= said.keys():
        what = "does not say where it lies (space, space directions and space origin)"
        raise refusal(path, what, "export it in the space left-posterior-superior or right-anterior-superior")
    units = [unit.lower() for unit in re.findall(r'"([^"]*)"', said.get("spaceunits", ""))[:3]]
    if not MILLIMETRES.issuperset(units):
        raise refusal(path, "is not measured in mm (space units)", "export it in mm")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _read_text(path: Path) -> tuple[dict[str, str], int]:
    """The fields of a header in text, and the bytes before what follows it."""
    try:
        with path.open("rb") as stream:
            start = stream.read(LONGEST_HEADER)
    except OSError:
        headers.require_file(path)
        raise
    return _meta_text(start) if _is_meta(path) else _nrrd_text(path, start)


def _meta_text(start: bytes) -> tuple[dict[str, str], int]:
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
    return said, offset


def _nrrd_text(path: Path, start: bytes) -> tuple[dict[str, str], int]:
    if not start.startswith(b"NRRD"):
        raise refusal(path, "is no NRRD file", AGAIN)
    end = re.search(rb"\r?\n\r?\n", start)
    text = start[: end.start()] if end else start
    said: dict[str, str] = {}
    for line in text.decode("latin-1").splitlines()[1:]:
        key, _, value = line.partition(":")
        said[key.strip().lower().replace(" ", "")] = value.lstrip("=").strip()
    if end is None and "datafile" not in said:
        raise refusal(path, "is truncated inside its header", "copy it again from its source")
    return said, end.end() if end else len(start)


def _payload(path: Path) -> _Payload:
    said, offset = _read_text(path)
    return _meta_payload(path, said, offset) if _is_meta(path) else _nrrd_payload(path, said, offset)


def _meta_payload(path: Path, said: dict[str, str], offset: int) -> _Payload:
    name = said.get("ElementDataFile", "")
    if not name or name == "LIST" or "%" in name:
        raise refusal(path, "is no MetaImage of one data file", AGAIN)
    if said.get("BinaryData", "True").lower() == "false" or said.get("HeaderSize", "0") != "0":
        raise refusal(path, "holds text or skips bytes before its voxels", AGAIN)
    packing = "zlib" if said.get("CompressedData", "False").lower() == "true" else "raw"
    local = name.upper() == "LOCAL"
    return _Payload(path if local else path.parent / name, offset if local else 0, packing)


def _nrrd_payload(path: Path, said: dict[str, str], offset: int) -> _Payload:
    packing = {"raw": "raw", "gzip": "gzip", "gz": "gzip"}.get(said.get("encoding", "").lower())
    name = said.get("datafile", "")
    skips = {said.get("byteskip", "0"), said.get("lineskip", "0")} != {"0"}
    if packing is None or skips or name.upper().startswith("LIST") or "%" in name:
        raise refusal(path, "is packed in a way that cannot be verified", AGAIN)
    return _Payload(path.parent / name, 0, packing) if name else _Payload(path, offset, packing)


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
