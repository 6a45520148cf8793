"""Voxels of one file: their layout, and their values, read in blocks to the last byte.

Length and checksums are verified while blocks are read. Reading all blocks therefore verifies the
file, and needs only the memory of one block.
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
"""Bytes that are unpacked at once."""

FLAGS = {"gzip": igzip_lib.DECOMP_GZIP, "zlib": igzip_lib.DECOMP_ZLIB}
AGAIN = "copy it again from its source"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A verified header, and where and how the voxels are stored.

    Attributes:
        header: header of the volume; its `dtype` has the byte order of the file.
        data: the file that holds the voxels.
        start: offset of the (packed) data in that file, in bytes.
        packing: compression of the data.
        skipped: unpacked bytes before the first voxel.
        interleaved: whether the channels of each voxel are contiguous; otherwise each channel is.
        slope: scale factor of the stored values; 1 if none is given.
        inter: offset of the scaled values; 0 if no slope is given.
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
        """Number of bytes that the unpacked data must have."""
        header = self.header
        return self.skipped + math.prod(header.shape) * header.channels * header.dtype.itemsize


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Consecutive voxels of a volume.

    Attributes:
        channel: index of the first channel.
        start: index of the first voxel, with the first axis varying fastest.
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
    header = layout.header
    content = np.empty(layout.bytes - layout.skipped, dtype=np.uint8)
    filled = 0
    for block in _contents(path, layout):
        content[filled : filled + len(block)] = np.frombuffer(block, dtype=np.uint8)
        filled += len(block)
    values = np.frombuffer(content, dtype=header.dtype)
    if header.channels == 1:
        return values.reshape(header.shape, order="F")
    if layout.interleaved:
        return np.moveaxis(values.reshape((header.channels, *header.shape), order="F"), 0, 3)
    return values.reshape((*header.shape, header.channels), order="F")


def blocks(path: Path, layout: Layout) -> Iterator[Block]:
    """Stored values in the order of the file, unscaled.

    Raises:
        DataError: the data are truncated, too long or damaged; at the latest after the last block.
    """
    header = layout.header
    width = header.channels if layout.interleaved else 1
    count = math.prod(header.shape)
    position, remainder = 0, b""
    for content in _contents(path, layout):
        joined = remainder + content if remainder else content
        usable = len(joined) - len(joined) % (width * header.dtype.itemsize)
        remainder = joined[usable:]
        values = np.frombuffer(joined[:usable], dtype=header.dtype)
        if width > 1:
            yield Block(0, position, values.reshape(-1, width).T)
        else:
            yield from _by_channel(values, position, count)
        position += len(values) // width


def _by_channel(values: np.ndarray, position: int, count: int) -> Iterator[Block]:
    """Split values that may extend over several channels into blocks of one channel each."""
    while len(values):
        channel, start = divmod(position, count)
        part = values[: count - start]
        yield Block(channel, start, part[None])
        values = values[len(part) :]
        position += len(part)


def _contents(path: Path, layout: Layout) -> Iterator[bytes]:
    """Unpacked bytes of the voxels; verifies their number against the header."""
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
        message = f"is truncated or damaged at its end: {read} of {expected} bytes can be unpacked"
        raise refusal(path, message, AGAIN) from None
    except headers.DAMAGE as error:
        reason = "its checksum (CRC) does not match" if "checksum" in str(error) else str(error)
        raise refusal(path, f"is damaged ({reason})", AGAIN) from error
    except OSError as error:
        raise refusal(
            path, f"cannot be read ({error.strerror or error})", "check the disk"
        ) from error
    if read < expected:
        raise refusal(path, f"is truncated: {read} of {expected} bytes", AGAIN)
    if read > expected:
        message = f"is longer than the {expected} bytes that its header claims"
        raise refusal(path, message, "export the image again")


def unpacked(stream: BufferedIOBase, packing: Packing, size: int) -> Iterator[bytes]:
    """Unpacked bytes, at most `size` at a time; all bytes before an error are yielded first.

    Raises:
        EOFError: packed data end too early.
        IsalError, BadGzipFile: packed data are damaged.
    """
    if packing == "raw":
        yield from iter(lambda: stream.read(size), b"")
        return
    packed = stream.read(size)
    while True:
        inflater = igzip_lib.IgzipDecompressor(FLAGS[packing])
        while not inflater.eof:
            if inflater.needs_input and not packed:
                packed = stream.read(size)
                if not packed:
                    message = "packed data end too early"
                    raise EOFError(message)
            block = inflater.decompress(packed, size)
            packed = b""
            if block:
                yield block
        if packing == "zlib":
            return
        packed = _next_member(stream, inflater.unused_data, size)
        if not packed:
            return


def _next_member(stream: BufferedIOBase, packed: bytes, size: int) -> bytes:
    """The bytes after a member of a gzip file: another member, or empty if only zeros follow."""
    packed = packed.lstrip(b"\0")
    while not packed:
        packed = stream.read(size)
        if not packed:
            return b""
        packed = packed.lstrip(b"\0")
    if not packed.startswith(b"\x1f"):
        message = "bytes that are not gzip follow the data"
        raise gzip.BadGzipFile(message)
    return packed
