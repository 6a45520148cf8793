"""Headers of NRRD files: spatial axes, their geometry, and the layout of the voxels.

The format: https://teem.sourceforge.net/nrrd/format.html.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tenter.formats import headers, sequences, units
from tenter.formats.headers import Header, Segment, refusal
from tenter.formats.image_format import Finding, laid_out, unsupported
from tenter.formats.payloads import Layout, Packing
from tenter.manifest.companions import TextHeader
from tenter.shapes import Matrix

AGAIN = "export the image again, or convert it to NIfTI"
EXPORT = "export it in the space left-posterior-superior or right-anterior-superior"

SPACES = {
    "right-anterior-superior": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
}
"""Names of anatomical spaces, and the signs of their axes in RAS.

Abbreviations and variants with time are also accepted.
"""

CHANNEL_KINDS = frozenset(
    (
        *("list", "time", "stub", "scalar", "vector", "covariant-vector", "normal", "point"),
        *("2-vector", "3-vector", "4-vector", "3-gradient", "3-normal", "3-color", "4-color"),
        *("rgb-color", "rgba-color", "hsv-color", "xyz-color"),
    )
)
"""Kinds of axes along which values are independent."""

_TYPES = {
    "i1": "signed char, int8, int8_t",
    "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t",
    "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": (
        "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t"
    ),
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float",
    "f8": "double",
}
TYPES = {name: code for code, names in _TYPES.items() for name in names.split(", ")}


@dataclass(frozen=True, slots=True)
class _Axes:
    """Sizes and direction vectors of the spatial axes of a file, and its channel axis."""

    sizes: tuple[int, ...]
    vectors: tuple[tuple[float, ...], ...]
    channels: int
    channel_axis: int | None


def parts(path: Path) -> tuple[Path, ...]:
    """The files that make up a volume: the header, and the data file it names.

    Raises:
        DataError: the header cannot be read, or names several files.
    """
    data = _data_file(path, text(path))
    return (path,) if data == path else (path, data)


def text(path: Path) -> TextHeader:
    """The fields of a header, and the keys and values that programs added.

    Raises:
        DataError: the header cannot be read.
    """
    parsed = headers.text(path)
    if not headers.require_file(path).startswith(b"NRRD"):
        raise refusal(path, "is not an NRRD file", AGAIN)
    if parsed.end is None:
        raise refusal(path, "is truncated inside its header", "copy it again from its source")
    return parsed


def layout(path: Path) -> Layout:
    """Read and verify a header.

    Raises:
        DataError: the file or its header cannot be relied on.
    """
    headers.require_file(path)
    parsed = text(path)
    data = _data_file(path, parsed)
    headers.require_file(data)
    sequences.require_volume(path, parsed.pairs)
    axes = _axes(path, parsed.fields)
    shape, channels = headers.sized(
        path, [*axes.sizes, *[1] * (3 - len(axes.sizes)), axes.channels]
    )
    affine = _affine(path, parsed.fields, axes, shape)
    return Layout(
        header=Header(
            shape, channels, affine, _dtype(path, parsed.fields), _segments(parsed.pairs)
        ),
        data=data,
        start=parsed.end or 0 if data == path else 0,
        packing=_packing(path, parsed.fields),
        interleaved=axes.channel_axis == 0,
    )


def _data_file(path: Path, parsed: TextHeader) -> Path:
    """The file that holds the voxels: a separate one, or the file itself."""
    name = parsed.data_file
    if name.upper().startswith("LIST") or "%" in name:
        raise refusal(path, "keeps its voxels in several files", AGAIN)
    return path.parent / name if name else path


def _axes(path: Path, fields: Mapping[str, str]) -> _Axes:
    """Classify the axes of a file as spatial ones and the channel axis, if there is one."""
    sizes = _integers(path, fields, "sizes")
    kinds = [kind.lower() for kind in fields.get("kinds", "").split()] or [""] * len(sizes)
    vectors = _vectors(path, fields, len(sizes))
    if len(kinds) != len(sizes):
        raise refusal(path, f"has {len(sizes)} axes and {len(kinds)} kinds", AGAIN)
    space = [axis for axis, vector in enumerate(vectors) if any(vector[:3])]
    for axis in space:
        if kinds[axis] not in sequences.SPATIAL_KINDS:
            raise sequences.not_spatial(path, axis, kinds[axis])
    nonspatial = [axis for axis in range(len(sizes)) if axis not in space]
    counted = [axis for axis in nonspatial if sizes[axis] != 1]
    for axis in counted:
        if kinds[axis] not in sequences.SPATIAL_KINDS | CHANNEL_KINDS:
            message = f"holds {kinds[axis]} values (axis {axis + 1} of its `kinds`)"
            raise refusal(path, message, "store one real number a voxel")
    if len(counted) > 1 or not 2 <= len(space) <= 3:
        message = (
            f"has {len(space)} axes with a direction in space, "
            f"and {len(counted)} others (sizes {sizes})"
        )
        raise refusal(path, message, "give two or three axes of space, and at most one of channels")
    channel_axis = counted[0] if counted else None
    if channel_axis is not None and min(space) < channel_axis < max(space):
        message = f"has its channels (axis {channel_axis + 1}) between the axes of space"
        raise refusal(path, message, "store them as the first or the last axis")
    return _Axes(
        tuple(sizes[axis] for axis in space),
        tuple(vectors[axis][:3] for axis in space),
        1 if channel_axis is None else sizes[channel_axis],
        0 if channel_axis is not None and channel_axis < min(space) else channel_axis,
    )


def _integers(path: Path, fields: Mapping[str, str], name: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in fields[name].split())
    except (KeyError, ValueError):
        raise refusal(path, f"cannot be read (no whole numbers in `{name}`)", AGAIN) from None


def _numbers(path: Path, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.strip("() ").split(","))
    except ValueError:
        raise refusal(path, f"cannot be read ({text} is not a vector)", AGAIN) from None


def _vectors(path: Path, fields: Mapping[str, str], axes: int) -> list[tuple[float, ...]]:
    """The direction of each axis in space (and time); zeros for an axis without direction."""
    width = _dimensions(path, fields)
    texts = re.findall(r"none|\([^)]*\)", fields["spacedirections"].lower())
    vectors = [(0.0,) * width if text == "none" else _numbers(path, text) for text in texts]
    vectors = [(0.0,) * width if all(map(math.isnan, vector)) else vector for vector in vectors]
    if len(vectors) != axes or {len(vector) for vector in vectors} != {width}:
        raise refusal(path, f"has {axes} axes, and `space directions` that do not fit", AGAIN)
    return vectors


def _dimensions(path: Path, fields: Mapping[str, str]) -> int:
    """Dimensions of the space, which must be anatomical: three, or four with time."""
    named = _space(fields)
    # No name exists for four axes: ITK then writes none, and uses LPS as always.
    unnamed = fields.get("spacedimension") == "4"
    if (named is None and not unnamed) or not {"spacedirections", "spaceorigin"} <= fields.keys():
        raise refusal(
            path, "does not say where it lies (space, space directions and space origin)", EXPORT
        )
    return 3 if named is not None and not _has_time(fields) else 4


def _has_time(fields: Mapping[str, str]) -> bool:
    space = fields.get("space", "").lower()
    return space.endswith("-time") or (len(space) == 4 and space[3] == "t")


def _space(fields: Mapping[str, str]) -> tuple[int, int, int] | None:
    """Signs of the axes of the space in RAS; None for an unknown space."""
    name = fields.get("space", "").lower().removesuffix("-time")
    name = name[:3] if len(name) == 4 and name[3] == "t" else name
    short = {"".join(part[0] for part in full.split("-")): signs for full, signs in SPACES.items()}
    return SPACES.get(name, short.get(name))


def _affine(
    path: Path, fields: Mapping[str, str], axes: _Axes, shape: tuple[int, int, int]
) -> Matrix:
    unit = _unit(path, fields)
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1
    matrix[:3, : len(axes.vectors)] = np.array(axes.vectors).T
    origin = _numbers(path, fields["spaceorigin"])
    if len(origin) < 3:
        raise refusal(path, "does not say where it lies (space origin)", EXPORT)
    matrix[:3, 3] = origin[:3]
    signs = _space(fields) or SPACES["left-posterior-superior"]
    thick = headers.thickened(units.in_mm(np.diag([*signs, 1.0]) @ matrix, unit), shape)
    affine = headers.placed(path, thick)
    statement = '`space units` of its header to "mm" "mm" "mm"'
    units.require_plausible_size(path, affine, shape, unit, statement)
    return affine


def _unit(path: Path, fields: Mapping[str, str]) -> str | None:
    names = re.findall(r'"([^"]*)"', fields.get("spaceunits", ""))[:3]
    stated = {units.unit(path, name, "space units") for name in names}
    if len(stated) > 1:
        raise refusal(
            path,
            f"is measured in several units (space units {', '.join(names)})",
            "export it in mm",
        )
    return stated.pop() if stated else None


def _dtype(path: Path, fields: Mapping[str, str]) -> np.dtype[np.generic]:
    name = fields.get("type", "")
    if name not in TYPES:
        raise refusal(
            path, f"holds values of type {name!r}", "store one real number (int16, float32) a voxel"
        )
    order = {"little": "<", "big": ">"}.get(fields.get("endian", ""), "")
    if not order and not TYPES[name].endswith("1"):
        raise refusal(path, "does not state its byte order (endian)", AGAIN)
    return np.dtype(order + TYPES[name])


def _packing(path: Path, fields: Mapping[str, str]) -> Packing:
    names: dict[str, Packing] = {"raw": "raw", "gzip": "gzip", "gz": "gzip"}
    packing = names.get(fields.get("encoding", "").lower())
    skips = {fields.get("byteskip", "0"), fields.get("lineskip", "0")} != {"0"}
    if packing is None or skips:
        raise refusal(path, "is packed in a way that cannot be verified", AGAIN)
    return packing


def _segments(pairs: Mapping[str, str]) -> tuple[Segment, ...]:
    """The segments of a 3D Slicer segmentation, in order.

    Before layers existed (up to 3D Slicer 4.10), each segment was a separate channel of ones.
    """
    numbers = sorted(
        int(match[1]) for key in pairs if (match := re.fullmatch(r"Segment(\d+)_ID", key))
    )
    return tuple(_segment(pairs, number) for number in numbers)


def _segment(pairs: Mapping[str, str], number: int) -> Segment:
    def integer(name: str, default: int) -> int:
        text = pairs.get(f"Segment{number}_{name}", "")
        return int(text) if re.fullmatch(r"\d{1,9}", text) else default

    name = pairs.get(f"Segment{number}_Name") or pairs[f"Segment{number}_ID"]
    return Segment(name, integer("Layer", number), integer("LabelValue", 1))


def _marked(path: Path) -> Finding | None:
    pairs = text(path).pairs
    if not any(re.fullmatch(r"Segment\d+_(ID|LabelValue)", key) for key in pairs):
        return None
    representation = pairs.get("Segmentation_SourceRepresentation") or pairs.get(
        "Segmentation_MasterRepresentation", ""
    )
    if "fractional" in representation.lower():
        fix = (
            "export it as a binary label map in 3D Slicer, or give --kind image to read it linearly"
        )
        raise unsupported(path, "is a fractional segmentation of 3D Slicer", fix)
    return Finding("labels", "it is a segmentation of 3D Slicer")


FORMAT = laid_out((".nrrd", ".nhdr"), layout, parts, _marked)
