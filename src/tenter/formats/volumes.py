"""Reading and writing of image and label files, in RAS mm whatever the format.

Formats: NIfTI (.nii, .nii.gz, .hdr/.img), MetaImage (.mha, .mhd), NRRD (.nrrd, .nhdr); for images
also folders of DICOM slices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from tenter import files
from tenter.config import LabelFiles
from tenter.errors import FormatError, InputError
from tenter.formats import (
    dicom,
    headers,
    itk_files,
    label_values,
    layers,
    nifti,
    nifti_writer,
    payloads,
)
from tenter.formats.headers import Header, refusal
from tenter.formats.label_values import LARGEST_LABEL, ROUNDING, Advice
from tenter.formats.payloads import Block, Layout
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


@dataclass(frozen=True, slots=True, eq=False)
class LabelVolume:
    """The labels of one file.

    Attributes:
        values: integer map `[x, y, z]`, or stack `[l, x, y, z]` float32 in [0, 1], in the order of
            `keys`.
        affine: voxel to RAS mm.
        keys: values of the map (from 1, those that occur); channels of the stack (from 0); for
            overlapping segments of 3D Slicer their label values, or their numbers if layers repeat
            a value.
        names: key and name of each segment, if the file names them.
        dtype: integer type in which the file stores the map; None for a stack, and for scaled
            values.
    """

    values: np.ndarray
    affine: Matrix
    keys: tuple[int, ...]
    names: tuple[tuple[int, str], ...] = ()
    dtype: np.dtype[np.integer[Any]] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along the three axes as stored."""
        x, y, z = self.values.shape[-3:]
        return x, y, z

    @property
    def array(self) -> Float32[np.ndarray, "l x y z"]:
        """All labels in [0, 1], in the order of `keys`."""
        if not self.keys:
            return np.zeros((0, *self.shape), dtype=np.float32)
        return np.stack([self.mask(key) for key in self.keys])

    def mask(self, key: int) -> Float32[np.ndarray, "x y z"]:
        """One label in [0, 1]; zero everywhere for a key that the file lacks."""
        if self.values.ndim == 3:
            matches: np.ndarray = self.values == key
            return matches.astype(np.float32)
        if key not in self.keys:
            return np.zeros(self.shape, dtype=np.float32)
        mask: np.ndarray = self.values[self.keys.index(key)]
        return mask


def header(path: Path) -> Header:
    """Shape, channels, affine and stored type, without reading a voxel.

    Raises:
        DataError: the file or its header cannot be relied on.
    """
    if path.is_dir():
        return dicom.header(path)
    return _layout(path).header


def parts(path: Path) -> tuple[Path, ...]:
    """The files that make up a volume, the header's first.

    Raises:
        DataError: the format is unknown, or a header that names a data file is unreadable.
    """
    if path.is_dir():
        return dicom.parts(path)
    return nifti.parts(path) if _is_nifti(path) else itk_files.parts(path)


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
    if path.is_dir():
        head, scaled_blocks = dicom.blocks(path)
    else:
        layout = _layout(path)
        head, scaled_blocks = layout.header, _scaled_blocks(path, layout)
    finite = label_values.Finite(head.shape, head.channels)
    for block in scaled_blocks:
        finite.add(block.values, block.channel, block.start)
        yield block
    finite.require(path)


def _scaled_blocks(path: Path, layout: Layout) -> Iterator[Block]:
    scaling = (layout.slope, layout.inter)
    for block in payloads.blocks(path, layout):
        yield Block(block.channel, block.start, _scaled(block.values, scaling))


def read_labels(
    path: Path, settings: LabelFiles, advice: Advice = label_values.CONFIGURATION
) -> LabelVolume:
    """Read labels to the last byte of the file.

    Args:
        path: integer map (3-D), or stack (4-D with one label a channel; 3-D is one label).
        settings: states which of the two it is.
        advice: how to select the other one, for error messages.

    Raises:
        DataError: as `read_image`; or the values are not labels (fractional or negative in a map,
            outside [0, 1] in a stack).
    """
    if path.is_dir():
        raise refusal(path, "is a folder", "give labels as one file: DICOM is read for images only")
    head, stored, scaling = _stored(path)
    if settings.format == "stack" and stored.dtype.itemsize == 1:
        return _byte_stack(path, head, stored, scaling, advice)
    values = _scaled(stored, scaling)
    _require_finite(path, values)
    if settings.format == "map":
        return _label_map(path, head, values, advice)
    soft = _soft(path, head, _channels_first(head, values), advice)
    return LabelVolume(soft, head.affine, tuple(range(head.channels)))


def read_labels_on(
    path: Path, settings: LabelFiles, shape: tuple[int, int, int], affine: Matrix
) -> LabelVolume:
    """Read labels on the grid of their image; the file may store the voxels in another order.

    Args:
        path: the label file.
        settings: states whether it is a map or a stack.
        shape: voxels of the image.
        affine: voxel to RAS mm of the image.

    Raises:
        DataError: as `read_labels`; or the voxels of the labels do not coincide with the image's.
    """
    headers.require_same_grid(path, header(path), shape, affine)
    return reordered(read_labels(path, settings), shape, affine)


def reordered(labels: LabelVolume, shape: tuple[int, int, int], affine: Matrix) -> LabelVolume:
    """Labels in the voxel order of a grid; unchanged if their voxels do not coincide with it.

    Args:
        labels: of one file.
        shape: voxels of the grid.
        affine: voxel to RAS mm of the grid.
    """
    order = headers.order_on_grid((labels.shape, labels.affine), (shape, affine))
    if order is None or order == headers.SAME_ORDER:
        return labels
    return replace(labels, values=np.ascontiguousarray(order.applied(labels.values)), affine=affine)


def read_values(path: Path) -> tuple[np.ndarray, Matrix]:
    """Read a volume of any kind to the last byte of its file.

    Returns:
        `[c, x, y, z]` in the stored type (float64 if the file scales its values), and voxel to
        RAS mm.

    Raises:
        DataError: as `read_image`.
    """
    head, stored, scaling = _stored(path)
    values = _scaled(stored, scaling)
    _require_finite(path, values)
    return _channels_first(head, values), head.affine


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


def _is_nifti(path: Path) -> bool:
    name = path.name.lower()
    if name.endswith(nifti.SUFFIXES):
        return True
    if name.endswith(itk_files.SUFFIXES):
        return False
    known = ", ".join((*nifti.SUFFIXES, *itk_files.SUFFIXES))
    fix = f"give one of {known}, or for an image the folder of a DICOM series"
    raise FormatError(Fault(str(path), "does not have the suffix of a known format", fix))


def _layout(path: Path) -> Layout:
    return nifti.layout(path) if _is_nifti(path) else itk_files.layout(path)


def _stored(path: Path) -> tuple[Header, np.ndarray, tuple[float, float]]:
    """Header, verified values `[x, y, z(, c)]` before scaling, slope and intercept."""
    if path.is_dir():
        return dicom.voxels(path)
    layout = _layout(path)
    return layout.header, payloads.voxels(path, layout), (layout.slope, layout.inter)


def _require_finite(path: Path, values: np.ndarray) -> None:
    """Refuse values `[x, y, z(, c)]` that are NaN, Inf or beyond float32."""
    x, y, z = values.shape[:3]
    finite = label_values.Finite((x, y, z), values.shape[3] if values.ndim == 4 else 1)
    for channel in range(finite.channels):
        planes = values[..., channel] if values.ndim == 4 else values
        for number in range(z):
            finite.add(planes[:, :, number].reshape(1, -1, order="F"), channel, number * x * y)
    finite.require(path)


def _label_map(path: Path, head: Header, values: np.ndarray, advice: Advice) -> LabelVolume:
    layers.require_map(path, head, advice)
    stored = _channels_first(head, values)
    occurring = [_occurring(path, layer, advice) for layer in stored]
    integers = (np.rint(stored) if stored.dtype.kind == "f" else stored).astype(np.int32)
    names = layers.named(head)
    if head.channels == 1:
        plain = values.dtype.kind in "iu" and values.dtype.itemsize <= integers.dtype.itemsize
        dtype = values.dtype.newbyteorder("=") if plain else None
        return LabelVolume(integers[0], head.affine, occurring[0], names, dtype)
    segments = layers.present(path, head, occurring)
    combined = layers.combined(segments, integers)
    keys = tuple(segments) if combined.ndim == 4 else tuple(sorted(segments))
    return LabelVolume(combined, head.affine, keys, names)


def _occurring(path: Path, layer: np.ndarray, advice: Advice) -> tuple[int, ...]:
    """The labels of a map `[x, y, z]`."""
    map_values = label_values.MapValues()
    for number in range(layer.shape[2]):
        map_values.add(layer[:, :, number])
    return map_values.require(path, advice)


def _byte_stack(
    path: Path, head: Header, stored: np.ndarray, scaling: tuple[float, float], advice: Advice
) -> LabelVolume:
    """A stack of 8-bit values, scaled once per distinct value, not per voxel."""
    low, high = int(stored.min()), int(stored.max())
    meant = _soft(path, head, _scaled(np.arange(low, high + 1), scaling), advice)
    # Unsigned differences are correct for signed and unsigned stored values.
    channels = np.ascontiguousarray(_channels_first(head, stored)).view(np.uint8)
    soft = meant.take(channels - np.uint8(low % 256))
    return LabelVolume(soft, head.affine, tuple(range(head.channels)))


def _soft(path: Path, head: Header, values: np.ndarray, advice: Advice) -> np.ndarray:
    """Labels between 0 and 1, float32; values within rounding of 0 or 1 become exact."""
    stack_values = label_values.StackValues([0.0] * head.channels)
    stack_values.add(values.reshape(1, -1))
    stack_values.require(path, advice, layered=layers.are_layers(head))
    soft = np.clip(values.astype(np.float32), 0, 1)
    nearest = np.rint(soft)
    return np.ascontiguousarray(np.where(np.abs(soft - nearest) <= ROUNDING, nearest, soft))


def _scaled(stored: np.ndarray, scaling: tuple[float, float]) -> np.ndarray:
    """Scaled values in float64; unchanged if there is no scaling."""
    slope, inter = scaling
    scaled: np.ndarray = stored if scaling == (1.0, 0.0) else stored * np.float64(slope) + inter
    return scaled


def _channels_first(head: Header, values: np.ndarray) -> np.ndarray:
    return values[None] if head.channels == 1 else np.moveaxis(values, 3, 0)


def _channels_last(array: np.ndarray) -> np.ndarray:
    if array.ndim == 4:
        return array[0] if array.shape[0] == 1 else np.moveaxis(array, 0, 3)
    return array
