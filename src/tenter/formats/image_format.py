"""What a format of image files must provide. Its line in `known_formats` makes it known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from tenter.errors import InputError
from tenter.formats import payloads
from tenter.formats.headers import Header
from tenter.formats.payloads import Block, Layout
from tenter.records import Fault

Kind = Literal["image", "labels", "stack"]


class Finding(NamedTuple):
    """The kind of a file, and the evidence for it."""

    kind: Kind
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """The values of a volume as its file stores them, read and verified to its last byte.

    Attributes:
        header: of the volume.
        values: `[x, y, z]`, or `[x, y, z, c]` for several channels; before scaling.
        slope: scale factor of the values.
        inter: offset of the scaled values.
    """

    header: Header
    values: np.ndarray
    slope: float = 1.0
    inter: float = 0.0

    def scaled(self) -> np.ndarray:
        """Scaled values in float64; those of the file if there is no scaling."""
        return scaled(self.values, self.slope, self.inter)

    def channels_first(self, values: np.ndarray) -> np.ndarray:
        """Values of this shape as `[c, x, y, z]`."""
        return values[None] if self.header.channels == 1 else np.moveaxis(values, 3, 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Format:
    """A format of image files. Each function takes a path and raises DataError for a bad file.

    Attributes:
        suffixes: of its files, in lower case; empty for the format of folders.
        header: reads and verifies the header without reading a voxel.
        stored: reads the header and all values.
        parts: the files that make up a volume, the header's first.
        blocks: header, and scaled values block by block in the order of the file. By default, all
            values are in memory.
        marked: the kind that the metadata of a file state; None if they state none. InputError if
            it is neither an image nor supported labels.
    """

    suffixes: tuple[str, ...]
    header: Callable[[Path], Header]
    stored: Callable[[Path], Stored]
    parts: Callable[[Path], tuple[Path, ...]] = lambda path: (path,)
    blocks: Callable[[Path], tuple[Header, Iterator[Block]]] | None = None
    marked: Callable[[Path], Finding | None] = lambda _: None

    def scaled_blocks(self, path: Path) -> tuple[Header, Iterator[Block]]:
        """Header, and scaled values block by block in the order of the file."""
        if self.blocks is not None:
            return self.blocks(path)
        stored = self.stored(path)
        return stored.header, _all_blocks(stored)


def laid_out(
    suffixes: tuple[str, ...],
    layout: Callable[[Path], Layout],
    parts: Callable[[Path], tuple[Path, ...]],
    marked: Callable[[Path], Finding | None] = lambda _: None,
) -> Format:
    """A format whose voxels follow one another in one file, which `payloads` reads.

    Args:
        suffixes: as in `Format`.
        layout: reads and verifies a header, and locates the voxels.
        parts: as in `Format`.
        marked: as in `Format`.
    """

    def stored(path: Path) -> Stored:
        place = layout(path)
        return Stored(place.header, payloads.voxels(path, place), place.slope, place.inter)

    def blocks(path: Path) -> tuple[Header, Iterator[Block]]:
        place = layout(path)
        return place.header, (
            Block(block.channel, block.start, scaled(block.values, place.slope, place.inter))
            for block in payloads.blocks(path, place)
        )

    return Format(
        suffixes=suffixes,
        header=lambda path: layout(path).header,
        stored=stored,
        parts=parts,
        blocks=blocks,
        marked=marked,
    )


def scaled(stored: np.ndarray, slope: float, inter: float) -> np.ndarray:
    """Scaled values in float64; unchanged if there is no scaling."""
    if (slope, inter) == (1.0, 0.0):
        return stored
    values: np.ndarray = stored * np.float64(slope) + inter
    return values


def unsupported(path: Path, message: str, fix: str) -> InputError:
    """The error for a file that holds neither an image nor labels, for `Format.marked`."""
    return InputError([Fault(str(path), message, fix)])


def _all_blocks(stored: Stored) -> Iterator[Block]:
    """One block a channel."""
    channels = stored.header.channels
    flat = stored.values.reshape(-1, channels, order="F")
    for channel in range(channels):
        yield Block(channel, 0, scaled(flat[None, :, channel], stored.slope, stored.inter))
