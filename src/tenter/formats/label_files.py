"""Reading of label files: integer maps, stacks of labels, and segmentations of 3D Slicer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from tenter.config import LabelFiles
from tenter.formats import headers, known_formats, label_values, layers
from tenter.formats.headers import Header, refusal
from tenter.formats.image_format import Stored, scaled
from tenter.formats.label_values import ROUNDING, Advice
from tenter.shapes import Matrix


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
    stored = known_formats.of(path).stored(path)
    head = stored.header
    if settings.format == "stack" and stored.values.dtype.itemsize == 1:
        return _byte_stack(path, stored, advice)
    values = stored.scaled()
    label_values.require_finite(path, values)
    if settings.format == "map":
        return _label_map(path, stored, values, advice)
    soft = _soft(path, head, stored.channels_first(values), advice)
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
    headers.require_same_grid(path, known_formats.of(path).header(path), shape, affine)
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


def _label_map(path: Path, file: Stored, values: np.ndarray, advice: Advice) -> LabelVolume:
    head = file.header
    layers.require_map(path, head, advice)
    stored = file.channels_first(values)
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


def _byte_stack(path: Path, stored: Stored, advice: Advice) -> LabelVolume:
    """A stack of 8-bit values, scaled once per distinct value, not per voxel."""
    head, values = stored.header, stored.values
    low, high = int(values.min()), int(values.max())
    levels = scaled(np.arange(low, high + 1), stored.slope, stored.inter)
    meant = _soft(path, head, levels, advice)
    # Unsigned differences are correct for signed and unsigned stored values.
    channels = np.ascontiguousarray(stored.channels_first(values)).view(np.uint8)
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
