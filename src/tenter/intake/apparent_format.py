"""The format that a file seems to have, for the message about a file of another format."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from dataclasses import replace
from pathlib import Path

from tenter.errors import FormatError
from tenter.records import Fault

SEEMS = (
    (b"version https://git-lfs", "a Git LFS pointer"),
    (b"<!doctype", "a web page (HTML)"),
    (b"<html", "a web page (HTML)"),
    (b"<?xml", "XML"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"NRRD", "an NRRD image"),
    (b"ObjectType", "a MetaImage"),
    (b"\x93NUMPY", "a NumPy array"),
)
"""First bytes of a file (text in any case) and the format that they indicate."""


def hinted(path: Path, error: FormatError) -> tuple[Fault, ...]:
    """The faults of a file of another format, with the format that it seems to have.

    Args:
        path: the file.
        error: raised by the reader of the expected format.
    """
    seems = _apparent_format(path)
    hint = f" (it seems to be {seems})" if seems else ""
    return tuple(replace(fault, message=fault.message + hint) for fault in error.faults)


def _apparent_format(path: Path) -> str | None:
    """The format that a file's first bytes indicate, decompressed if they are gzip's."""
    with path.open("rb") as stream:
        start = stream.read(512)
    packed = start.startswith(b"\x1f\x8b")
    if packed:
        with contextlib.suppress(OSError, EOFError, zlib.error), gzip.open(path, "rb") as stream:
            start = stream.read(512)
    low = start.lstrip().lower()
    named = [
        name for magic, name in SEEMS if start.startswith(magic) or low.startswith(magic.lower())
    ]
    if start[128:132] == b"DICM":
        named = ["a DICOM file"]
    with contextlib.suppress(UnicodeDecodeError):
        if not named and start and not set(start.decode("utf-8")) & set("\x00\x01\x02\x03"):
            named = ["text"]
    return named[0] + (", compressed" if packed else "") if named else None
