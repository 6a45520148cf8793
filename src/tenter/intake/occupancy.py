"""Coarse masks of a file's labels, from which the overlap of two sides is estimated by alignment.

They take a few kilobytes per file, so that `check` can store them and need not read labels twice.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool

from tenter.formats.volumes import LabelVolume
from tenter.shapes import Matrix, PointsMm
from tenter.spatial import geometry

SEARCHED = 64
"""Largest number of voxels per axis in the first, coarse search for labels."""

SAMPLES = 24
"""Largest number of samples per axis of the box that holds all labels."""

LABELS = 16
"""Largest number of labels per file; the largest labels are kept."""


@dataclass(frozen=True, kw_only=True)
class Occupancy:
    """Labels of a file, sampled on a coarse grid.

    Attributes:
        keys: of the labels that are kept.
        shape: voxels of the coarse grid along its stored axes.
        affine: rows of the coarse grid's affine, voxel to RAS mm.
        bits: masks `[keys, x, y, z]`, packed, compressed, base64.
    """

    keys: tuple[int, ...]
    shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]
    bits: str

    @cached_property
    def masks(self) -> Bool[np.ndarray, "l x y z"]:
        """One mask for each key."""
        packed = np.frombuffer(zlib.decompress(base64.b64decode(self.bits)), np.uint8)
        shape = (len(self.keys), *self.shape)
        return np.unpackbits(packed, count=math.prod(shape)).reshape(shape).astype(bool)

    @cached_property
    def matrix(self) -> Matrix:
        """The affine as an array."""
        return np.array(self.affine, dtype=np.float64)


def parse_occupancy(value: Mapping[str, Any]) -> Occupancy:
    """Rebuild an occupancy that `dataclasses.asdict` and JSON have turned into plain lists.

    Raises:
        KeyError, TypeError, ValueError: the value is not an occupancy.
    """
    return Occupancy(
        keys=tuple(value["keys"]),
        shape=tuple(value["shape"]),
        affine=tuple(tuple(row) for row in value["affine"]),
        bits=value["bits"],
    )


def sampled(volume: LabelVolume) -> Occupancy | None:
    """Sample the labels of a file; None if it has no label."""
    box = _box(volume)
    if box is None:
        return None
    windows = []
    for start, stop in box:
        stride = math.ceil((stop - start) / SAMPLES)
        windows.append(slice(start + (stride - 1) // 2, stop, stride))
    x, y, z = windows
    keys, masks = _masks(volume, volume.values[..., x, y, z])
    if not keys:
        return None
    return Occupancy(
        keys=keys,
        shape=masks.shape[1:],
        affine=_affine(volume.affine, windows),
        bits=base64.b64encode(zlib.compress(np.packbits(masks).tobytes())).decode(),
    )


def _box(volume: LabelVolume) -> list[tuple[int, int]] | None:
    """First voxel and end, along each axis, of the box that holds all labels, with a margin."""
    steps = [math.ceil(size / SEARCHED) for size in volume.shape]
    filled = _filled(volume, steps)
    if not filled.any():  # labels so small that the coarse samples miss them
        steps = [1, 1, 1]
        filled = _filled(volume, steps)
    if not filled.any():
        return None
    index = np.nonzero(filled)
    return [
        (max(0, (int(indices.min()) - 1) * step), min(size, (int(indices.max()) + 2) * step))
        for indices, step, size in zip(index, steps, volume.shape, strict=True)
    ]


def _filled(volume: LabelVolume, steps: Sequence[int]) -> Bool[np.ndarray, "x y z"]:
    """Whether any label is set, at a regular subsample of the voxels."""
    x, y, z = (slice(step // 2, None, step) for step in steps)
    filled: np.ndarray = volume.values[..., x, y, z] > 0
    return np.asarray(filled.any(axis=0)) if filled.ndim == 4 else filled


def _masks(
    volume: LabelVolume, window: np.ndarray
) -> tuple[tuple[int, ...], Bool[np.ndarray, "l x y z"]]:
    """The largest labels of a part of a volume."""
    if window.ndim == 3:
        keys, counts = np.unique(window[window > 0], return_counts=True)
        largest = sorted(keys[np.argsort(-counts, kind="stable")][:LABELS].tolist())
        return tuple(largest), np.stack([window == key for key in largest]) if largest else window[
            None
        ] > 0
    masks = window >= 0.5
    counts = masks.sum(axis=(1, 2, 3))
    order = [int(index) for index in np.argsort(-counts, kind="stable")[:LABELS] if counts[index]]
    return tuple(volume.keys[index] for index in sorted(order)), masks[sorted(order)]


def _affine(affine: Matrix, windows: Sequence[slice]) -> tuple[tuple[float, ...], ...]:
    local = np.diag([*(float(window.step) for window in windows), 1.0])
    local[:3, 3] = [window.start for window in windows]
    return tuple(tuple(float(value) for value in row) for row in affine @ local)


def dice(moving: Occupancy, fixed: Occupancy, placed: Matrix) -> float | None:
    """Overlap of all common labels together, 2 sum(ab) / (sum(a) + sum(b)); None if there are none.

    Args:
        moving: labels of the moving image.
        fixed: labels of the fixed image.
        placed: the alignment, RAS mm to RAS mm, a fixed point to its moving point.
    """
    moving_masks, fixed_masks = _common(moving, fixed)
    if not len(moving_masks):
        return None
    to_moving = np.linalg.inv(moving.matrix) @ placed @ fixed.matrix
    # Volumes in the fixed image's space; each side's samples estimate the intersection.
    cells = [
        abs(np.linalg.det(moving.matrix)) / abs(np.linalg.det(placed)),
        abs(np.linalg.det(fixed.matrix)),
    ]
    forward = _hits(fixed_masks, moving_masks, to_moving) * cells[1]
    backward = _hits(moving_masks, fixed_masks, np.linalg.inv(to_moving)) * cells[0]
    sizes = moving_masks.sum() * cells[0] + fixed_masks.sum() * cells[1]
    return float(min(1.0, (forward + backward) / sizes))


def distance_mm(moving: Occupancy, fixed: Occupancy, placed: Matrix) -> float | None:
    """Median distance between centroids of common labels, mm; None if there are none."""
    moving_masks, fixed_masks = _common(moving, fixed)
    if not len(moving_masks):
        return None
    ends = geometry.apply(placed, _centroids_mm(fixed_masks, fixed.matrix))
    return float(
        np.median(np.linalg.norm(ends - _centroids_mm(moving_masks, moving.matrix), axis=1))
    )


def _common(
    moving: Occupancy, fixed: Occupancy
) -> tuple[Bool[np.ndarray, "l x y z"], Bool[np.ndarray, "l u v w"]]:
    keys = sorted(set(moving.keys) & set(fixed.keys))
    picked = [side.masks[[side.keys.index(key) for key in keys]] for side in (moving, fixed)]
    return picked[0], picked[1]


def _hits(
    source: Bool[np.ndarray, "l x y z"], target: Bool[np.ndarray, "l u v w"], to: Matrix
) -> int:
    """Number of source voxels whose nearest target voxel has the same label."""
    label, *index = np.nonzero(source)
    voxels = np.rint(geometry.apply(to, np.stack(index, axis=1).astype(np.float64))).astype(
        np.int64
    )
    inside = ((voxels >= 0) & (voxels < target.shape[1:])).all(axis=1)
    x, y, z = voxels[inside].T
    return int(target[label[inside], x, y, z].sum())


def _centroids_mm(masks: Bool[np.ndarray, "l x y z"], affine: Matrix) -> PointsMm:
    middles = np.array([np.argwhere(mask).mean(axis=0) for mask in masks])
    return geometry.apply(affine, middles)
