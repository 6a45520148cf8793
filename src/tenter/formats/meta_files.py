"""MetaImage: headers, and the layout of their voxels.

Headers are read by SimpleITK, after a check of what it ignores: it reads a missing
position as the origin, and assumes its own unit and scaling if it does not know those of the file.
Voxels are read by `payloads`, because SimpleITK returns images from files with truncated or
damaged data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from tenter.formats import headers, sequences, units
from tenter.formats.headers import Header, refusal
from tenter.formats.image_format import laid_out
from tenter.formats.payloads import Layout
from tenter.manifest.companions import TextHeader

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
AGAIN = "export the image again, or convert it to NIfTI"

PLACES = (
    ("Offset", "Position", "Origin"),
    ("TransformMatrix", "Orientation", "Rotation"),
    ("ElementSpacing",),
)
"""Fields for the position of a MetaImage, each with its synonyms."""

BYTE_ORDERS = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
"""Fields that state whether the most significant byte of a number comes first."""


def parts(path: Path) -> tuple[Path, ...]:
    """The files that make up a volume: the header, and the data file it names.

    Raises:
        DataError: the header cannot be read.
    """
    data = _data_file(path, headers.text(path))
    return (path,) if data == path else (path, data)


def layout(path: Path) -> Layout:
    """Read and verify a header, and locate the voxels.

    Raises:
        DataError: the file or its header cannot be relied on.
    """
    headers.require_file(path)
    text = headers.text(path)
    fields = text.fields
    data = _data_file(path, text)
    headers.require_file(data)
    sequences.require_volume(path, fields)
    _require_meta(path, fields)
    reader = _reader(path)
    return Layout(
        header=_described(path, fields, reader),
        data=data,
        start=text.end or 0 if data == path else 0,
        packing="zlib" if fields.get("CompressedData", "False").lower() == "true" else "raw",
        interleaved=reader.GetNumberOfComponents() > 1,
    )


def _reader(path: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("MetaImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise refusal(path, f"cannot be read ({reason})", AGAIN) from error
    return reader


def _described(path: Path, fields: Mapping[str, str], reader: sitk.ImageFileReader) -> Header:
    components, sizes = reader.GetNumberOfComponents(), list(reader.GetSize())
    if components > 1 and any(size > 1 for size in sizes[3:]):
        raise refusal(
            path, f"has {components} values per voxel and sizes {sizes}", "give one or the other"
        )
    space = [*sizes[:3], *[1] * (3 - len(sizes))]
    shape, channels = headers.sized(path, [*space, components] if components > 1 else sizes)
    unit = units.unit(path, fields.get("DistanceUnits", ""), "DistanceUnits")
    axes, held = len(sizes), min(len(sizes), 3)
    matrix = np.diag([*[1.0] * held, *[0.0] * (3 - held), 1.0])
    direction = np.array(reader.GetDirection()).reshape(axes, axes)[:held, :held]
    matrix[:held, :held] = direction * np.array(reader.GetSpacing()[:held])
    matrix[:held, 3] = reader.GetOrigin()[:held]
    affine = headers.placed(path, headers.thickened(units.in_mm(LPS @ matrix, unit), shape))
    statement = "`DistanceUnits` in its header to mm"
    units.require_plausible_size(path, affine, shape, unit, statement)
    return Header(shape, channels, affine, _dtype(path, fields, reader))


def _dtype(
    path: Path, fields: Mapping[str, str], reader: sitk.ImageFileReader
) -> np.dtype[np.generic]:
    name = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    terms = name.replace("vector of ", "").split()
    if "complex" in terms or "label" in terms:
        raise refusal(
            path, f"holds {name} values", "store one real number (int16, float32) a voxel"
        )
    kind = "f" if "float" in terms else "u" if "unsigned" in terms else "i"
    swapped = {fields.get(name, "").lower() for name in BYTE_ORDERS} & {"true", "1"}
    return np.dtype(f"{'>' if swapped else '<'}{kind}{int(terms[0].partition('-')[0]) // 8}")


def _require_meta(path: Path, fields: Mapping[str, str]) -> None:
    """Refuse a MetaImage that tools interpret differently."""
    for names in PLACES:
        if not fields.keys() & set(names):
            raise refusal(path, f"does not say where it lies (no {names[0]} in its header)", AGAIN)
    for axis, kind in enumerate(fields.get("Kinds", "").lower().split()[:3]):
        if kind not in sequences.SPATIAL_KINDS:
            raise sequences.not_spatial(path, axis, kind)
    for name, usual in (
        ("ElementToIntensityFunctionSlope", 1.0),
        ("ElementToIntensityFunctionOffset", 0.0),
    ):
        if _number(fields.get(name, str(usual))) != usual:
            raise refusal(
                path, f"sets {name}, which most tools ignore", "store the scaled values themselves"
            )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _data_file(path: Path, text: TextHeader) -> Path:
    """The file that holds the voxels: a separate one, or the file itself."""
    fields, name = text.fields, text.data_file
    if not fields.get("ElementDataFile") or name.startswith("LIST") or "%" in name:
        raise refusal(path, "is not a MetaImage with one data file (ElementDataFile)", AGAIN)
    if fields.get("BinaryData", "True").lower() == "false" or fields.get("HeaderSize", "0") != "0":
        raise refusal(path, "holds text or skips bytes before its voxels", AGAIN)
    return path.parent / name if name else path


FORMAT = laid_out((".mha", ".mhd"), layout, parts)
