"""Checks of the values of label files, accumulated block by block."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tenter.formats.headers import refusal

MAX_LABELS = 1000
"""Number of distinct values above which a label map is considered an image."""

ROUNDING = 1e-3
"""Tolerance for labels that are stored as scaled or real numbers."""

LARGEST_LABEL = 2**31 - 1
COUNTED = 2**16
"""Values below this are counted in a table, which is faster than sorting them.

Also the number of keys above which no further ones are collected.
"""


class Advice(NamedTuple):
    """How a user declares a file a label map or a stack, as quoted in error messages."""

    to_map: str = "set labels.format to map"
    to_stack: str = "set labels.format to stack"
    as_map: str = "labels.format is map"


CONFIGURATION = Advice()


@dataclass
class Finite:
    """The number of values that are NaN, infinite or beyond float32.

    Attributes:
        shape: voxels of the volume.
        channels: number of channels of the volume.
        count: number of such values.
        first: the lowest index of such a value: x, y, z, and the channel if there are several.
    """

    shape: tuple[int, int, int]
    channels: int = 1
    count: int = 0
    first: tuple[int, ...] = ()

    def add(self, values: np.ndarray, channel: int = 0, start: int = 0) -> None:
        """Count such values in a block.

        Args:
            values: `[channels, voxels]`.
            channel: index of the first channel.
            start: index of the first voxel, with the first axis varying fastest.
        """
        if values.dtype.kind != "f":
            return
        if values.dtype.itemsize > 4:
            with np.errstate(over="ignore"):
                values = values.astype(np.float32)
        finite = np.isfinite(values)
        if finite.all():
            return
        channels, positions = np.nonzero(~finite)
        index = [*np.unravel_index(start + positions, self.shape, order="F"), channel + channels]
        axes = len(index) if self.channels > 1 else 3
        lowest = np.lexsort(index[axes - 1 :: -1])[0]
        first = tuple(int(numbers[lowest]) for numbers in index[:axes])
        self.first = min(self.first, first) if self.count else first
        self.count += len(positions)

    def require(self, path: Path) -> None:
        """Refuse a file with such values.

        Raises:
            DataError: there are such values; the message states their number and the first index.
        """
        if self.count:
            message = (
                f"holds {self.count} voxels that are NaN, infinite or beyond float32, "
                f"the first at index {self.first}"
            )
            raise refusal(path, message, "mask or fill them before registration")


@dataclass
class MapValues:
    """The values of one layer of a label map: integers from 0.

    Attributes:
        worst: largest distance of a value from an integer.
        low: the lowest value.
        high: the highest.
        keys: the values that occur, except 0; incomplete if there are more than `COUNTED`.
    """

    worst: float = 0.0
    low: float = 0.0
    high: float = 0.0
    keys: set[int] = field(default_factory=set)

    def add(self, values: np.ndarray) -> None:
        """Add finite values of any shape."""
        if values.dtype.kind == "f":
            rounded = np.rint(values)
            self.worst = max(self.worst, float(np.abs(values - rounded).max()))
            values = rounded
        low, high = values.min(), values.max()
        self.low, self.high = min(self.low, float(low)), max(self.high, float(high))
        if low >= 0 and high <= LARGEST_LABEL and len(self.keys) <= COUNTED:
            self.keys |= _present(values, int(high))

    def require(self, path: Path, advice: Advice = CONFIGURATION) -> tuple[int, ...]:
        """The keys of the labels that occur.

        Raises:
            DataError: the values are not labels.
        """
        if self.worst > ROUNDING:
            message = f"holds fractional labels (up to {self.worst:.3g} from an integer)"
            fix = (
                f"store integers; for soft labels {advice.to_stack} "
                "(each label a channel from 0 to 1)"
            )
            raise refusal(path, message, fix)
        if self.low < 0 or self.high > LARGEST_LABEL:
            message = (
                f"holds whole numbers from {self.low:.0f} to {self.high:.0f}, which are not labels"
            )
            raise refusal(
                path, message, f"store 0 for background and whole numbers from 1 to {LARGEST_LABEL}"
            )
        if len(self.keys) > MAX_LABELS:
            many = f"more than {COUNTED}" if len(self.keys) > COUNTED else len(self.keys)
            raise refusal(path, f"holds {many} different labels", "give a label map, not an image")
        return tuple(sorted(self.keys))


def _present(values: np.ndarray, high: int) -> set[int]:
    if high < COUNTED:
        present = np.flatnonzero(
            np.bincount(values.ravel().astype(np.intp, copy=False), minlength=1)
        )
    else:
        present = np.unique(values)
    return {int(key) for key in present if key > 0}


@dataclass
class StackValues:
    """The values of a label stack, between 0 and 1.

    Attributes:
        low: the lowest value.
        high: the highest of each channel.
    """

    highs: list[float]
    low: float = 0.0

    def add(self, values: np.ndarray, channel: int = 0) -> None:
        """Add finite values `[channels, voxels]` of the channels from `channel` on."""
        self.low = min(self.low, float(values.min()))
        for number, high in enumerate(values.max(axis=1), start=channel):
            self.highs[number] = max(self.highs[number], float(high))

    def require(
        self, path: Path, advice: Advice = CONFIGURATION, *, layered: bool
    ) -> tuple[int, ...]:
        """The channels that are empty.

        Raises:
            DataError: values lie outside 0 to 1.
        """
        high = max(self.highs)
        if self.low < -ROUNDING or high > 1 + ROUNDING:
            message = f"holds values from {self.low:g} to {high:g} in a label stack"
            raise refusal(path, message, self._fix(advice, layered=layered))
        return tuple(number for number, value in enumerate(self.highs) if value <= ROUNDING)

    def _fix(self, advice: Advice, *, layered: bool) -> str:
        if layered:
            return f"{advice.to_map}: this reads layers with several segments"
        if len(self.highs) > 1:
            return "store each label as a channel of its own, between 0 and 1"
        return f"store each label between 0 and 1, or {advice.to_map}"


def require_finite(path: Path, values: np.ndarray) -> None:
    """Refuse values `[x, y, z(, c)]` that are NaN, Inf or beyond float32.

    Raises:
        DataError: they are; the message gives their number and the first voxel.
    """
    x, y, z = values.shape[:3]
    finite = Finite((x, y, z), values.shape[3] if values.ndim == 4 else 1)
    for channel in range(finite.channels):
        planes = values[..., channel] if values.ndim == 4 else values
        for number in range(z):
            finite.add(planes[:, :, number].reshape(1, -1, order="F"), channel, number * x * y)
    finite.require(path)
