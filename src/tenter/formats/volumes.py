"""Image and label files, read by one rule and written whole: RAS mm inside, whatever the file says.

NIfTI (.nii, .nii.gz, .hdr/.img), MetaImage (.mha, .mhd), NRRD (.nrrd, .nhdr); for images also folders
of DICOM slices.
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
from tenter.errors import InputError
from tenter.formats import dicom, headers, itk_files, label_values, layers, nifti, nifti_writer, payloads
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
        values: integer map `[x, y, z]`, or stack `[l, x, y, z]` float32 in [0, 1], in the order of `keys`.
        affine: voxel to RAS mm.
        keys: values of the map (from 1, those that occur); channels of the stack (from 0); of overlapping
            segments of 3D Slicer their label values, or their numbers where layers repeat a value.
        names: key and name of each segment, where the file names them.
        dtype: integer type in which the map's file stores them; None of a stack, and where it scales them.
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
            found: np.ndarray = self.values == key
            return found.astype(np.float32)
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
        DataError: the format is not known, or the header that names the other is unreadable.
    """
    if path.is_dir():
        return dicom.parts(path)
    return nifti.parts(path) if _is_nifti(path) else itk_files.parts(path)


def sha256(path: Path) -> str:
    """Hexadecimal sha256 of a volume's content, of all its files; of a DICOM series whatever their names.

    Raises:
        DataError: one of them cannot be read.
    """
    for part in parts(path):
        headers.require_file(part)
    hashes = [files.sha256(part) for part in parts(path)]
    if path.is_dir():
        return files.digest(sorted(hashes))  # names of slices are no content
    return hashes[0] if len(hashes) == 1 else files.digest(hashes)


def read_image(path: Path) -> Volume:
    """Read an image to its last byte.

    A slope of 0, NaN or Inf means no scaling, and then the intercept does not count.

    Args:
        path: file, or folder of a DICOM series.

    Raises:
        DataError: the file is damaged, doubtful, or holds NaN or Inf.
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
    """The values of a volume, scaled, in the order of its file; the memory needed is that of a block.

    Raises:
        DataError: the file is damaged, doubtful, or holds NaN or Inf; at the latest after the last block.
    """
    if path.is_dir():
        head, found = dicom.blocks(path)
    else:
        layout = _layout(path)
        head, found = layout.header, _scaled_blocks(path, layout)
    finite = label_values.Finite(head.shape, head.channels)
    for block in found:
        finite.add(block.values, block.channel, block.start)
        yield block
    finite.require(path)


def _scaled_blocks(path: Path, layout: Layout) -> Iterator[Block]:
    scaling = (layout.slope, layout.inter)
    for block in payloads.blocks(path, layout):
        yield Block(block.channel, block.start, _scaled(block.values, scaling))


def read_labels(path: Path, settings: LabelFiles, advice: Advice = label_values.CONFIGURATION) -> LabelVolume:
    """Read labels to the file's last byte.

    Args:
        path: integer map (3-D), or stack (4-D with one label a channel; 3-D is one label).
        settings: says which of the two it is.
        advice: what to advise where it is the other one.

    Raises:
        DataError: as `read_image`; or values are no labels (fractional or negative in a map,
            outside [0, 1] in a stack).
    """
    if path.is_dir():
        raise refusal(path, "is a folder", "give labels as one file: DICOM is read for images alone")
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
    """Read labels onto the grid of their image, whose voxels they may store in another order.

    Args:
        path: the label file.
        settings: says whether it is a map or a stack.
        shape: voxels of the image.
        affine: voxel to RAS mm of the image.

    Raises:
        DataError: as `read_labels`; or the labels do not lie voxel on voxel on their image.
    """
    headers.require_same_grid(path, header(path), shape, affine)
    return reordered(read_labels(path, settings), shape, affine)


def reordered(labels: LabelVolume, shape: tuple[int, int, int], affine: Matrix) -> LabelVolume:
    """Labels in the voxel order of a grid; as they are where they do not lie on it voxel on voxel.

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
    """Read a volume of whatever it is, to its last byte.

    Returns:
        `[c, x, y, z]` in the type in which the file stores it (float64 where it scales its
        numbers), and voxel to RAS mm.

    Raises:
        DataError: as `read_image`.
    """
    head, stored, scaling = _stored(path)
    values = _scaled(stored, scaling)
    _require_finite(path, values)
    return _channels_first(head, values), head.affine


def write_image(path: Path, array: np.ndarray, affine: Matrix) -> None:
    """Write an image as NIfTI, with nothing in its header but its geometry.

    Args:
        path: `.nii` or `.nii.gz`.
        array: `[x, y, z]` or `[c, x, y, z]`, stored as float32; several channels become a 4th axis.
        affine: voxel to RAS mm.

    Raises:
        OutputError: it could not be written whole.
    """
    nifti_writer.write(path, _channels_last(array.astype(np.float32, copy=False)), affine)


def write_labels(
    path: Path, array: np.ndarray, affine: Matrix, dtype: np.dtype[np.integer[Any]] | None = None
) -> None:
    """Write labels as NIfTI, with nothing in its header but its geometry.

    Args:
        path: `.nii` or `.nii.gz`.
        array: integers `[x, y, z]` or `[l, x, y, z]`; or real numbers in [0, 1], stored as uint8
            with a slope of 1/255.
        affine: voxel to RAS mm.
        dtype: integer type in which to store integers, if it holds them; else, and by default, the
            smallest unsigned one.

    Raises:
        InputError: these are no labels, or the name asks for another format.
        OutputError: it could not be written whole.
    """
    low, high = float(array.min(initial=0)), float(array.max(initial=0))
    soft = array.dtype.kind == "f"
    limit = 1 + ROUNDING if soft else LARGEST_LABEL
    if not (-ROUNDING <= low <= high <= limit):
        message = f"labels from {low:g} to {high:g} cannot be written"
        fix = "give real numbers from 0 to 1" if soft else f"give whole numbers from 0 to {LARGEST_LABEL}"
        raise InputError([Fault(str(path), message, fix)])
    if soft:
        steps = np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)
        nifti_writer.write(path, _channels_last(steps), affine, slope=1 / 255)
        return
    if dtype is None or np.iinfo(dtype).max < high:
        dtype = np.min_scalar_type(int(high))
    nifti_writer.write(path, _channels_last(array.astype(dtype)), affine)


def write_values(path: Path, array: np.ndarray, affine: Matrix) -> None:
    """Write a volume of whatever it is as NIfTI, in the array's own type of number.

    Args:
        path: `.nii` or `.nii.gz`.
        array: `[x, y, z]` or `[c, x, y, z]`; integers of up to 32 bits, or real numbers.
        affine: voxel to RAS mm.

    Raises:
        OutputError: it could not be written whole.
    """
    nifti_writer.write(path, _channels_last(array.astype(array.dtype.newbyteorder("="), copy=False)), affine)


def _is_nifti(path: Path) -> bool:
    name = path.name.lower()
    if name.endswith(nifti.SUFFIXES):
        return True
    if name.endswith(itk_files.SUFFIXES):
        return False
    known = ", ".join((*nifti.SUFFIXES, *itk_files.SUFFIXES))
    fix = f"give one of {known}, or for an image the folder of a DICOM series"
    raise refusal(path, "is of no known format by its name", fix)


def _layout(path: Path) -> Layout:
    return nifti.layout(path) if _is_nifti(path) else itk_files.layout(path)


def _stored(path: Path) -> tuple[Header, np.ndarray, tuple[float, float]]:
    """Header, verified values `[x, y, z(, c)]` before scaling, slope and intercept."""
    if path.is_dir():
        return dicom.voxels(path)
    layout = _layout(path)
    return layout.header, payloads.voxels(path, layout), (layout.slope, layout.inter)


def _require_finite(path: Path, values: np.ndarray) -> None:
    """Refuse NaN, Inf and what is beyond float32 among `[x, y, z(, c)]`."""
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
    whole = (np.rint(stored) if stored.dtype.kind == "f" else stored).astype(np.int32)
    names = layers.named(head)
    if head.channels == 1:
        plain = values.dtype.kind in "iu" and values.dtype.itemsize <= whole.dtype.itemsize
        dtype = values.dtype.newbyteorder("=") if plain else None
        return LabelVolume(whole[0], head.affine, occurring[0], names, dtype)
    segments = layers.present(path, head, occurring)
    combined = layers.combined(segments, whole)
    keys = tuple(segments) if combined.ndim == 4 else tuple(sorted(segments))
    return LabelVolume(combined, head.affine, keys, names)


def _occurring(path: Path, layer: np.ndarray, advice: Advice) -> tuple[int, ...]:
    """The labels of a map `[x, y, z]`."""
    found = label_values.MapValues()
    for number in range(layer.shape[2]):
        found.add(layer[:, :, number])
    return found.require(path, advice)


def _byte_stack(
    path: Path, head: Header, stored: np.ndarray, scaling: tuple[float, float], advice: Advice
) -> LabelVolume:
    """A stack of numbers of 8 bits: what each of them means is found once, not for every voxel."""
    low, high = int(stored.min()), int(stored.max())
    meant = _soft(path, head, _scaled(np.arange(low, high + 1), scaling), advice)
    # Unsigned differences are right whatever the sign of what is stored.
    channels = np.ascontiguousarray(_channels_first(head, stored)).view(np.uint8)
    soft = meant.take(channels - np.uint8(low % 256))
    return LabelVolume(soft, head.affine, tuple(range(head.channels)))


def _soft(path: Path, head: Header, values: np.ndarray, advice: Advice) -> np.ndarray:
    """Labels between 0 and 1, float32; what rounding left of 0 and 1 is made whole."""
    found = label_values.StackValues([0.0] * head.channels)
    found.add(values.reshape(1, -1))
    found.require(path, advice, layered=layers.are_layers(head))
    soft = np.clip(values.astype(np.float32), 0, 1)
    near = np.rint(soft)
    return np.ascontiguousarray(np.where(np.abs(soft - near) <= ROUNDING, near, soft))


def _scaled(stored: np.ndarray, scaling: tuple[float, float]) -> np.ndarray:
    """What stored numbers mean; float64, or as they are where nothing scales them."""
    slope, inter = scaling
    scaled: np.ndarray = stored if scaling == (1.0, 0.0) else stored * np.float64(slope) + inter
    return scaled


def _channels_first(head: Header, values: np.ndarray) -> np.ndarray:
    return values[None] if head.channels == 1 else np.moveaxis(values, 3, 0)


def _channels_last(array: np.ndarray) -> np.ndarray:
    if array.ndim == 4:
        return array[0] if array.shape[0] == 1 else np.moveaxis(array, 0, 3)
    return array
