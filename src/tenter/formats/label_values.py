"""Whether the values of a label file are labels, gathered block by block."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tenter.formats.headers import refusal

MAX_LABELS = 1000
"""Distinct values above which a label map is held for an image."""

ROUNDING = 1e-3
"""Labels stored as scaled or real numbers may deviate this much from what they mean."""

LARGEST_LABEL = 2**31 - 1
COUNTED = 2**16
"""Values below this are counted in a table, which is faster than to sort them; more are not counted."""


class Advice(NamedTuple):
    """How a user says that a file is a label map, or a stack; errors repeat it."""

    to_map: str = "set labels.format to map"
    to_stack: str = "set labels.format to stack"
    as_map: str = "labels.format is map"


CONFIGURATION = Advice()


@dataclass
class Finite:
    """How many values are NaN, infinite or beyond float32.

    Attributes:
        shape: voxels of the volume.
        channels: of the volume.
        count: of such values.
        first: the lowest index of one of them: x, y, z, and the channel where there are several.
    """

    shape: tuple[int, int, int]
    channels: int = 1
    count: int = 0
    first: tuple[int, ...] = ()

    def add(self, values: np.ndarray, channel: int = 0, start: int = 0) -> None:
        """Look at `[channels, voxels]` from a channel and a voxel (first axis first) on."""
        if values.dtype.kind != "f":
            return
        if values.dtype.itemsize > 4:
            with np.errstate(over="ignore"):
                values = values.astype(np.float32)
        finite = np.isfinite(values)
        if finite.all():
            return
        channels, places = np.nonzero(~finite)
        index = [*np.unravel_index(start + places, self.shape, order="F"), channel + channels]
        axes = len(index) if self.channels > 1 else 3
        lowest = np.lexsort(index[axes - 1 :: -1])[0]
        first = tuple(int(numbers[lowest]) for numbers in index[:axes])
        self.first = min(self.first, first) if self.count else first
        self.count += len(places)

    def require(self, path: Path) -> None:
        """Refuse a file with such values.

        Raises:
            DataError: with their number and the first one's index.
        """
        if self.count:
            what = (
                f"holds {self.count} voxels that are NaN, infinite or beyond float32, "
                f"the first at index {self.first}"
            )
            raise refusal(path, what, "mask or fill them before registration")


@dataclass
class MapValues:
    """The values of a label map, of one layer: whole numbers from 0 on.

    Attributes:
        worst: how far a value is from a whole number.
        low: the lowest value.
        high: the highest.
        keys: the values that occur but for 0; of more than `COUNTED` some.
    """

    worst: float = 0.0
    low: float = 0.0
    high: float = 0.0
    keys: set[int] = field(default_factory=set)

    def add(self, values: np.ndarray) -> None:
        """Take finite values of any shape into account."""
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
            DataError: values are no labels.
        """
        if self.worst > ROUNDING:
            what = f"holds fractional labels (up to {self.worst:.3g} from an integer)"
            fix = f"store integers; for soft labels {advice.to_stack} (each label a channel from 0 to 1)"
            raise refusal(path, what, fix)
        if self.low < 0 or self.high > LARGEST_LABEL:
            what = f"holds whole numbers from {self.low:.0f} to {self.high:.0f}, which are not labels"
            raise refusal(path, what, f"store 0 for background and whole numbers from 1 to {LARGEST_LABEL}")
        if len(self.keys) > MAX_LABELS:
            many = f"more than {COUNTED}" if len(self.keys) > COUNTED else len(self.keys)
            raise refusal(path, f"holds {many} different labels", "give a label map, not an image")
        return tuple(sorted(self.keys))


def _present(values: np.ndarray, high: int) -> set[int]:
    if high < COUNTED:
        present = np.flatnonzero(np.bincount(values.ravel().astype(np.intp, copy=False), minlength=1))
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
        """Take finite values `[channels, voxels]` into account, from a channel on."""
        self.low = min(self.low, float(values.min()))
        for number, high in enumerate(values.max(axis=1), start=channel):
            self.highs[number] = max(self.highs[number], float(high))

    def require(self, path: Path, advice: Advice = CONFIGURATION, *, layered: bool) -> tuple[int, ...]:
        """The channels that hold nothing.

        Raises:
            DataError: values lie outside 0 to 1.
        """
        high = max(self.highs)
        if self.low < -ROUNDING or high > 1 + ROUNDING:
            what = f"holds values from {self.low:g} to {high:g} in a label stack"
            raise refusal(path, what, self._fix(advice, layered=layered))
        return tuple(number for number, value in enumerate(self.highs) if value <= ROUNDING)

    def _fix(self, advice: Advice, *, layered: bool) -> str:
        if layered:
            return f"{advice.to_map}: layers with several segments are read so"
        if len(self.highs) > 1:
            return "store each label as a channel of its own, between 0 and 1"
        return f"store each label between 0 and 1, or {advice.to_map}"
