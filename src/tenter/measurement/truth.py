"""The reference of a pair: its own labels and points, never resampled before use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from tenter.config import LabelFiles
from tenter.formats import volumes
from tenter.formats.points import read_points
from tenter.formats.volumes import Header, LabelVolume
from tenter.metrics.regions import Grid, Region, region
from tenter.metrics.warped import Piece, piece
from tenter.records import Pair

T = TypeVar("T")

Position = tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class LabelTruth:
    """The labels of both sides.

    Attributes:
        grid: of the fixed labels, on which labels are compared.
        fixed: non-empty fixed labels by key.
        moving: the moving labels as read from their file.
        pieces: non-empty moving labels by key.
    """

    grid: Grid
    fixed: Mapping[int, Region]
    moving: LabelVolume
    pieces: Mapping[int, Piece]


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """All references of a pair.

    Attributes:
        image: grid of the fixed image.
        labels: of both sides, or None.
        fixed_points: RAS mm by name; empty if the pair has none.
        moving_points: likewise.
    """

    image: Grid
    labels: LabelTruth | None
    fixed_points: Mapping[str, Position]
    moving_points: Mapping[str, Position]


def read_truth(pair: Pair, settings: LabelFiles, threshold: float) -> Truth:
    """Read a pair's labels and points, and the grid of the fixed image.

    Args:
        pair: its row of the manifest.
        settings: how label files are read.
        threshold: value from which a soft label counts as set.

    Raises:
        DataError: a file is missing, damaged, or not what it should be.
    """
    header = volumes.header(pair.fixed)
    labels = None
    if pair.fixed_labels is not None and pair.moving_labels is not None:
        fixed = _read_in_order(pair.fixed_labels, settings, header)
        moving = _read_in_order(pair.moving_labels, settings, volumes.header(pair.moving))
        labels = LabelTruth(
            Grid(fixed.affine, fixed.shape),
            _cut(fixed, lambda mask: region(mask >= threshold)),
            moving,
            _cut(moving, lambda mask: piece(mask, threshold)),
        )
    ends = (
        dict(read_points(path)) if path else {} for path in (pair.fixed_points, pair.moving_points)
    )
    return Truth(Grid(header.affine, header.shape), labels, *ends)


def _read_in_order(path: Path, settings: LabelFiles, image: Header) -> LabelVolume:
    """Labels in the voxel order of their image, if they lie on its grid."""
    return volumes.reordered(volumes.read_labels(path, settings), image.shape, image.affine)


def _cut(
    labels: LabelVolume, cut: Callable[[Float[np.ndarray, "x y z"]], T | None]
) -> dict[int, T]:
    """The non-empty labels, cut out of their volume one at a time."""
    cuts = ((key, cut(labels.mask(key))) for key in labels.keys)
    return {key: part for key, part in cuts if part is not None}
