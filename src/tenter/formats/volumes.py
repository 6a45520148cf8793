"""Reading and writing of image and label files, in RAS mm whatever the format.

Formats: NIfTI (.nii, .nii.gz, .hdr/.img), MetaImage (.mha, .mhd), NRRD (.nrrd, .nhdr); for images
also folders of DICOM slices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from tenter import files
from tenter.errors import InputError
from tenter.formats import headers, known_formats, label_values, nifti_writer
from tenter.formats.headers import Header
from tenter.formats.label_files import LabelVolume, read_labels, read_labels_on, reordered
from tenter.formats.label_values import LARGEST_LABEL, ROUNDING
from tenter.formats.payloads import Block
from tenter.records import Fault
from tenter.shapes import Matrix

__all__ = [
    "Block",
    "Header",
    "LabelVolume",
    "Volume",
    "blocks",
    "header",
    "parts",
    "read_image",
    "read_labels",
    "read_labels_on",
    "read_values",
    "reordered",
    "sha256",
    "write_image",
    "write_labels",
    "write_values",
]


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """An image: `[c, x, y, z]` float32, and voxel to RAS mm."""

    array: Float32[np.ndarray, "c x y z"]
    affine: Matrix


def header(path: Path) -> Header:
    """Shape, channels, affine and stored type, without reading a voxel.

    Raises:
        DataError: the file or its header cannot be relied on.
    """
    return known_formats.of(path).header(path)


def parts(path: Path) -> tuple[Path, ...]:
    """The files that make up a volume, the header's first.

    Raises:
        DataError: the format is unknown, or a header that names a data file is unreadable.
    """
    return known_formats.of(path).parts(path)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of the content of all files of a volume.

    The file names of a DICOM series do not affect it.

    Raises:
        DataError: a file cannot be read.
    """
    for part in parts(path):
        headers.require_file(part)
    hashes = [files.sha256(part) for part in parts(path)]
    if path.is_dir():
        return files.digest(sorted(hashes))  # names of slices are not content
    return hashes[0] if len(hashes) == 1 else files.digest(hashes)


def read_image(path: Path) -> Volume:
    """Read an image to its last byte.

    A slope of 0, NaN or Inf means no scaling; the intercept is then ignored.

    Args:
        path: file, or folder of a DICOM series.

    Raises:
        DataError: the file is damaged, ambiguous, or holds NaN or Inf.
    """
    head = header(path)
    x, y, z = head.shape
    values = np.empty((head.channels, x * y * z), np.float32)
    for block in blocks(path):
        channels = slice(block.channel, block.channel + len(block.values))
        with np.errstate(over="ignore"):
            values[channels, block.start : block.start + block.values.shape[1]] = block.values
    array = values.reshape(head.channels, z, y, x).transpose(0, 3, 2, 1)
    return Volume(np.ascontiguousarray(array), head.affine)


def blocks(path: Path) -> Iterator[Block]:
    """The scaled values of a volume in the order of its file, with the memory of one block.

    Raises:
        DataError: the file is damaged, ambiguous, or holds NaN or Inf; at the latest after the last
            block.
    """
    head, scaled_blocks = known_formats.of(path).scaled_blocks(path)
    finite = label_values.Finite(head.shape, head.channels)
    for block in scaled_blocks:
        finite.add(block.values, block.channel, block.start)
        yield block
    finite.require(path)


def read_values(path: Path) -> tuple[np.ndarray, Matrix]:
    """Read a volume of any kind to the last byte of its file.

    Returns:
        `[c, x, y, z]` in the stored type (float64 if the file scales its values), and voxel to
        RAS mm.

    Raises:
        DataError: as `read_image`.
    """
    stored = known_formats.of(path).stored(path)
    values = stored.scaled()
    label_values.require_finite(path, values)
    return stored.channels_first(values), stored.header.affine


def write_image(path: Path, array: np.ndarray, affine: Matrix) -> None:
    """Write an image as NIfTI, with only its geometry in the header.

    Args:
        path: `.nii` or `.nii.gz`.
        array: `[x, y, z]` or `[c, x, y, z]`, stored as float32; several channels become a 4th axis.
        affine: voxel to RAS mm.

    Raises:
        OutputError: the file could not be written completely.
    """
    nifti_writer.write(path, _channels_last(array.astype(np.float32, copy=False)), affine)


def write_labels(
    path: Path, array: np.ndarray, affine: Matrix, dtype: np.dtype[np.integer[Any]] | None = None
) -> None:
    """Write labels as NIfTI, with only their geometry in the header.

    Args:
        path: `.nii` or `.nii.gz`.
        array: integers `[x, y, z]` or `[l, x, y, z]`; or real numbers in [0, 1], stored as uint8
            with a slope of 1/255.
        affine: voxel to RAS mm.
        dtype: type in which to store integers, if its range suffices; otherwise, and by default,
            the smallest unsigned type.

    Raises:
        InputError: the values are not labels, or the suffix is that of another format.
        OutputError: the file could not be written completely.
    """
    low, high = float(array.min(initial=0)), float(array.max(initial=0))
    soft = array.dtype.kind == "f"
    limit = 1 + ROUNDING if soft else LARGEST_LABEL
    if not (-ROUNDING <= low <= high <= limit):
        message = f"labels from {low:g} to {high:g} cannot be written"
        fix = (
            "give real numbers from 0 to 1"
            if soft
            else f"give whole numbers from 0 to {LARGEST_LABEL}"
        )
        raise InputError([Fault(str(path), message, fix)])
    if soft:
        steps = np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)
        nifti_writer.write(path, _channels_last(steps), affine, slope=1 / 255)
        return
    if dtype is None or np.iinfo(dtype).max < high:
        dtype = np.min_scalar_type(int(high))
    nifti_writer.write(path, _channels_last(array.astype(dtype)), affine)


def write_values(path: Path, array: np.ndarray, affine: Matrix) -> None:
    """Write a volume of any kind as NIfTI, in the type of the array.

    Args:
        path: `.nii` or `.nii.gz`.
        array: `[x, y, z]` or `[c, x, y, z]`; integers of up to 32 bits, or real numbers.
        affine: voxel to RAS mm.

    Raises:
        OutputError: the file could not be written completely.
    """
    nifti_writer.write(
        path, _channels_last(array.astype(array.dtype.newbyteorder("="), copy=False)), affine
    )


def _channels_last(array: np.ndarray) -> np.ndarray:
    if array.ndim == 4:
        return array[0] if array.shape[0] == 1 else np.moveaxis(array, 0, 3)
    return array
