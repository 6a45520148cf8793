"""Voxels of one file: where they lie in it, and their values, read in blocks to the last byte.

Length and checksums are verified while blocks are read, so whoever reads all blocks has read a sound
file, and needs no more memory than one block takes.
"""

from __future__ import annotations

import gzip
import math
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from isal import igzip_lib

from tenter.formats import headers
from tenter.formats.headers import Header, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

Packing = Literal["raw", "gzip", "zlib"]

BLOCK = 2**20
"""Bytes that are unpacked at a time."""

FLAGS = {"gzip": igzip_lib.DECOMP_GZIP, "zlib": igzip_lib.DECOMP_ZLIB}
AGAIN = "copy it again from its source"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A verified header, and where and how the voxels are stored.

    Attributes:
        header: what every volume has; its `dtype` has the file's byte order.
        data: the file that holds the voxels.
        start: bytes of that file before the (packed) data.
        packing: how the data are packed.
        skipped: unpacked bytes before the first voxel.
        interleaved: whether all channels of a voxel follow one another; else channel follows channel.
        slope: factor of the stored values; 1 where none is given.
        inter: added to them; 0 where no slope is given.
    """

    header: Header
    data: Path
    start: int = 0
    packing: Packing = "raw"
    skipped: int = 0
    interleaved: bool = False
    slope: float = 1.0
    inter: float = 0.0

    @property
    def bytes(self) -> int:
        """Bytes that the unpacked data must have."""
        head = self.header
        return self.skipped + math.prod(head.shape) * head.channels * head.dtype.itemsize


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Voxels of a volume that follow one another.

    Attributes:
        channel: the first channel.
        start: number of the first voxel, counted along the first axis first.
        values: `[channels, voxels]`.
    """

    channel: int
    start: int
    values: np.ndarray


def voxels(path: Path, layout: Layout) -> np.ndarray:
    """Stored values `[x, y, z]` or `[x, y, z, c]`, unscaled.

    Raises:
        DataError: the data are truncated, too long or damaged.
    """
    head = layout.header
    content = np.empty(layout.bytes - layout.skipped, dtype=np.uint8)
    filled = 0
    for block in _contents(path, layout):
        content[filled : filled + len(block)] = np.frombuffer(block, dtype=np.uint8)
        filled += len(block)
    values = np.frombuffer(content, dtype=head.dtype)
    if head.channels == 1:
        return values.reshape(head.shape, order="F")
    if layout.interleaved:
        return np.moveaxis(values.reshape((head.channels, *head.shape), order="F"), 0, 3)
    return values.reshape((*head.shape, head.channels), order="F")


def blocks(path: Path, layout: Layout) -> Iterator[Block]:
    """Stored values in the order of the file, unscaled.

    Raises:
        DataError: the data are truncated, too long or damaged; at the latest after the last block.
    """
    head = layout.header
    width = head.channels if layout.interleaved else 1
    count = math.prod(head.shape)
    place, rest = 0, b""
    for content in _contents(path, layout):
        joined = rest + content if rest else content
        usable = len(joined) - len(joined) % (width * head.dtype.itemsize)
        rest = joined[usable:]
        values = np.frombuffer(joined[:usable], dtype=head.dtype)
        if width > 1:
            yield Block(0, place, values.reshape(-1, width).T)
        else:
            yield from _by_channel(values, place, count)
        place += len(values) // width


def _by_channel(values: np.ndarray, place: int, count: int) -> Iterator[Block]:
    """Blocks of one channel each, of values that may reach over the end of a channel."""
    while len(values):
        channel, start = divmod(place, count)
        part = values[: count - start]
        yield Block(channel, start, part[None])
        values = values[len(part) :]
        place += len(part)


def _contents(path: Path, layout: Layout) -> Iterator[bytes]:
    """Unpacked bytes of the voxels, of which there are as many as the header says."""
    expected, read = layout.bytes, 0
    try:
        with layout.data.open("rb") as stream:
            stream.seek(layout.start)
            for block in unpacked(stream, layout.packing, BLOCK):
                skipped = max(layout.skipped - read, 0)
                read += len(block)
                if read > expected:
                    break
                yield block[skipped:] if skipped else block
    except EOFError:
        what = f"is truncated or damaged at its end: {read} of {expected} bytes can be unpacked"
        raise refusal(path, what, AGAIN) from None
    except headers.DAMAGE as error:
        reason = "its checksum (CRC) is another" if "checksum" in str(error) else str(error)
        raise refusal(path, f"is damaged ({reason})", AGAIN) from error
    except OSError as error:
        raise refusal(path, f"cannot be read ({error.strerror or error})", "check the disk") from error
    if read < expected:
        raise refusal(path, f"is truncated: {read} of {expected} bytes", AGAIN)
    if read > expected:
        what = f"is longer than the {expected} bytes that its header claims"
        raise refusal(path, what, "export the image again")


def unpacked(stream: BufferedIOBase, packing: Packing, size: int) -> Iterator[bytes]:
    """Unpacked bytes, at most `size` at a time, all that there are before an error.

    Raises:
        EOFError: packed data end too early.
        IsalError, BadGzipFile: they are damaged.
    """
    if packing == "raw":
        yield from iter(lambda: stream.read(size), b"")
        return
    rest = stream.read(size)
    while True:
        inflater = igzip_lib.IgzipDecompressor(FLAGS[packing])
        while not inflater.eof:
            if inflater.needs_input and not rest:
                rest = stream.read(size)
                if not rest:
                    message = "packed data end too early"
                    raise EOFError(message)
            block = inflater.decompress(rest, size)
            rest = b""
            if block:
                yield block
        if packing == "zlib":
            return
        rest = _next_member(stream, inflater.unused_data, size)
        if not rest:
            return


def _next_member(stream: BufferedIOBase, rest: bytes, size: int) -> bytes:
    """What follows a member of a gzip file: another member, or nothing but zeros."""
    rest = rest.lstrip(b"\0")
    while not rest:
        rest = stream.read(size)
        if not rest:
            return b""
        rest = rest.lstrip(b"\0")
    if not rest.startswith(b"\x1f"):
        message = "bytes that are not gzip follow the data"
        raise gzip.BadGzipFile(message)
    return rest
