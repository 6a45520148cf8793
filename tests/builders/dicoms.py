"""DICOM files made by hand, so that each can be made wrong in one way;
every one names a patient.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from tenter.formats import dicom_files, dicom_pixels

PATIENT = "SECRET"
"""Stands in every element that says who, when or where; must never be told."""

IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED = (
    f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2", ".1.99")
)
NUMERIC = {"US": "H", "UL": "I"}
LONG = ("OB", "OW", "SQ", "UN")

Elements = dict[int, tuple[str, object]]
Change = Callable[[int, Elements], None]

SPACING, ORIENTATION, POSITION, SERIES = 0x00280030, 0x00200037, 0x00200032, 0x0020000E
ROWS, BITS, HIGH, SIGNED, FRAMES = 0x00280010, 0x00280101, 0x00280102, 0x00280103, 0x00280008
INTERCEPT, SLOPE, PHOTOMETRIC, SAMPLES, PIXELS = (
    0x00281052,
    0x00281053,
    0x00280004,
    0x00280002,
    0x7FE00010,
)
SHARED, PER_FRAME = 0x52009229, 0x52009230


def numbers(values: Sequence[float] | np.ndarray) -> str:
    """Decimal strings of an element, at most 16 characters each."""
    return "\\".join(f"{value:.10g}" for value in values)


def encoded(
    elements: Mapping[int, tuple[str, object]], syntax: str = EXPLICIT, *, open_ended: bool = False
) -> bytes:
    """Elements as they stand in a file.

    Args:
        elements: tag to type and value: text, number, bytes, or a list of items.
        syntax: of the transfer.
        open_ended: sequences and items are ended by marks, not by lengths.
    """
    return b"".join(_element(tag, *elements[tag], syntax, open_ended) for tag in sorted(elements))


def _element(
    tag: int,
    kind: str,
    value: object,
    syntax: str,
    open_ended: bool,  # noqa: FBT001 - passed on
) -> bytes:
    order = ">" if syntax == BIG_ENDIAN else "<"
    if isinstance(value, list):
        data = b"".join(
            _item(encoded(item, syntax, open_ended=open_ended), order, open_ended) for item in value
        )
        data += struct.pack(f"{order}HHI", 0xFFFE, 0xE0DD, 0) if open_ended else b""
    elif isinstance(value, int):
        data = struct.pack(f"{order}{NUMERIC[kind]}", value)
    else:
        data = value if isinstance(value, bytes) else str(value).encode()
        data += (b"\0" if kind in {"UI", "OB", "OW"} else b" ") * (len(data) % 2)
    length = 0xFFFFFFFF if open_ended and isinstance(value, list) else len(data)
    head = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
    if syntax == IMPLICIT:
        return head + struct.pack("<I", length) + data
    form = f"{order}2sHI" if kind in LONG else f"{order}2sH"
    words = (kind.encode(), 0, length) if kind in LONG else (kind.encode(), length)
    return head + struct.pack(form, *words) + data


def _item(content: bytes, order: str, open_ended: bool) -> bytes:  # noqa: FBT001 - passed on
    length = 0xFFFFFFFF if open_ended else len(content)
    end = struct.pack(f"{order}HHI", 0xFFFE, 0xE00D, 0) if open_ended else b""
    return struct.pack(f"{order}HHI", 0xFFFE, 0xE000, length) + content + end


def write(
    path: Path, elements: Elements, syntax: str = EXPLICIT, *, open_ended: bool = False
) -> Path:
    """Write a file: preamble, meta elements, elements."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = str(elements[0x00080016][1])
    meta = encoded(
        {0x00020002: ("UI", kind), 0x00020003: ("UI", "2.25.9"), 0x00020010: ("UI", syntax)}
    )
    meta = encoded({0x00020000: ("UL", len(meta))}) + meta
    path.write_bytes(bytes(128) + b"DICM" + meta + encoded(elements, syntax, open_ended=open_ended))
    return path


def pixel_elements(planes: np.ndarray, syntax: str = EXPLICIT) -> Elements:
    """What says what the pixels `[frames, rows, columns]` are, and these."""
    order: Literal[">", "<"] = ">" if syntax == BIG_ENDIAN else "<"
    width = planes.dtype.itemsize * 8
    return {
        0x00080016: ("UI", "1.2.840.10008.5.1.4.1.1.4"),
        0x00080018: ("UI", "2.25.9"),
        0x00080020: ("DA", PATIENT),
        0x00080080: ("LO", f"{PATIENT} Hospital"),
        0x00100010: ("PN", f"{PATIENT}^Patient"),
        0x00100020: ("LO", PATIENT),
        SERIES: ("UI", "2.25.7"),
        SAMPLES: ("US", 1),
        PHOTOMETRIC: ("CS", "MONOCHROME2"),
        ROWS: ("US", planes.shape[1]),
        0x00280011: ("US", planes.shape[2]),
        0x00280100: ("US", width),
        BITS: ("US", width),
        HIGH: ("US", width - 1),
        SIGNED: ("US", int(planes.dtype.kind == "i")),
        PIXELS: (
            "OW" if width == 16 else "OB",
            planes.astype(planes.dtype.newbyteorder(order)).tobytes(),
        ),
    }


def place_elements(affine: np.ndarray, index: int) -> tuple[str, str, str]:
    """Position of a slice, orientation and pixel spacing of a volume whose affine is RAS."""
    lps = np.diag([-1.0, -1, 1, 1]) @ affine
    steps = np.linalg.norm(lps[:3, :3], axis=0)
    axes = lps[:3, :3] / steps
    place = lps @ [0, 0, index, 1]
    return numbers(place[:3]), numbers([*axes[:, 0], *axes[:, 1]]), numbers([steps[1], steps[0]])


def write_series(
    folder: Path,
    array: np.ndarray,
    affine: np.ndarray,
    change: Change = lambda _index, _elements: None,
    syntax: str = EXPLICIT,
) -> Path:
    """Write a volume as one file a slice.

    Args:
        folder: to be made.
        array: `[x, y, z]` of an integer type.
        affine: voxel to RAS mm.
        change: alters the elements of a slice before they are written.
        syntax: of the transfer.
    """
    for index in range(array.shape[2]):
        position, orientation, spacing = place_elements(affine, index)
        elements = pixel_elements(array[None, :, :, index].transpose(0, 2, 1), syntax)
        elements |= {
            POSITION: ("DS", position),
            ORIENTATION: ("DS", orientation),
            SPACING: ("DS", spacing),
        }
        change(index, elements)
        # Names do not tell the order.
        write(folder / f"{(index * 7) % 97:03d}.dcm", elements, syntax)
    return folder


def name_of(index: int) -> str:
    """The file of a slice that `write_series` wrote."""
    return f"{(index * 7) % 97:03d}.dcm"


def enhanced(
    array: np.ndarray, affine: np.ndarray, scalings: Sequence[tuple[float, float]] = ()
) -> Elements:
    """The elements of one file of many frames, each with its place and, where given,
    its scaling.
    """
    elements = pixel_elements(array.transpose(2, 1, 0))
    elements[0x00080016] = ("UI", "1.2.840.10008.5.1.4.1.1.4.1")
    elements[FRAMES] = ("IS", str(array.shape[2]))
    _, orientation, spacing = place_elements(affine, 0)
    elements[SHARED] = (
        "SQ",
        [
            {
                0x00209116: ("SQ", [{ORIENTATION: ("DS", orientation)}]),
                0x00289110: ("SQ", [{SPACING: ("DS", spacing)}]),
            }
        ],
    )
    frames: list[Elements] = []
    for index in range(array.shape[2]):
        frame: Elements = {
            0x00209113: ("SQ", [{POSITION: ("DS", place_elements(affine, index)[0])}])
        }
        if scalings:
            slope, inter = scalings[index]
            scaling = {SLOPE: ("DS", f"{slope:g}"), INTERCEPT: ("DS", f"{inter:g}")}
            frame[0x00289145] = ("SQ", [scaling])
        frames.append(frame)
    elements[PER_FRAME] = ("SQ", frames)
    return elements


def all_frames(image: dicom_files.Image) -> np.ndarray:
    """The values of all pixels of a file, put together from its pieces,
    `[frames, rows, columns]`.
    """
    values = np.zeros(image.shape, image.dtype.newbyteorder("="))
    for frame, first, rows in dicom_pixels.pieces(image):
        values[frame, first : first + len(rows)] = rows
    return values
