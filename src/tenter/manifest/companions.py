"""The files that belong to one image: a folder of slices, a pair, a header and its data file.

Here, without NumPy, because both the Snakefile and the readers of images need it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LONGEST_HEADER = 2**20
"""Bytes of a file that are searched for the end of its header."""


@dataclass(frozen=True, slots=True)
class TextHeader:
    """The header of a MetaImage or NRRD file.

    Attributes:
        fields: fields of the format; those of NRRD by name in lower case without blanks.
        pairs: keys and values that programs added to an NRRD file.
        end: length of the header in bytes; None for an NRRD file without an end of its header.
    """

    fields: Mapping[str, str]
    pairs: Mapping[str, str] = field(default_factory=dict)
    end: int | None = None

    @property
    def data_file(self) -> str:
        """The name of the file that holds the voxels; empty for the file itself."""
        name = self.fields.get("ElementDataFile") or self.fields.get("datafile", "")
        return "" if name.upper() == "LOCAL" else name


def text_header(path: Path) -> TextHeader:
    """Read the header of a MetaImage or NRRD file; other files have no fields.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        start = stream.read(LONGEST_HEADER)
    return _nrrd_header(start) if start.startswith(b"NRRD") else _meta_header(start)


def _meta_header(start: bytes) -> TextHeader:
    fields: dict[str, str] = {}
    offset = 0
    for line in start.split(b"\n"):
        offset += len(line) + 1
        key, separator, value = line.decode("utf-8", "replace").partition("=")
        if not separator:
            break
        fields[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            break
    return TextHeader(fields, end=offset)


def _nrrd_header(start: bytes) -> TextHeader:
    end = re.search(rb"\r?\n\r?\n", start)
    text = (start[: end.start()] if end else start).decode("utf-8", "replace")
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    for line in text.splitlines()[1:]:
        match = re.match(r"([^#:][^:]*)(:=|:)(.*)", line)
        if match and match[2] == ":=":
            pairs[match[1]] = match[3].strip()
        elif match:
            fields[match[1].strip().lower().replace(" ", "")] = match[3].strip()
    if end is None:
        return TextHeader(fields, pairs, len(start) if "datafile" in fields else None)
    return TextHeader(fields, pairs, end.end())


def pair(path: Path) -> tuple[Path, ...]:
    """The `.hdr` and `.img` file of a pair, of which one is given; otherwise the file itself."""
    if path.suffix.lower() not in {".hdr", ".img"}:
        return (path,)
    upper = path.suffix.isupper()
    return tuple(
        path.with_suffix(suffix.upper() if upper else suffix) for suffix in (".hdr", ".img")
    )


def files_behind(path: Path) -> tuple[Path, ...]:
    """The files that a path of the table stands for.

    For a folder its slices (DICOM; without hidden files, a DICOMDIR and subfolders); for a header
    with a separate data file (.hdr/.img, .mhd, .nhdr) both; otherwise the path itself.
    """
    if os.path.isdir(path):  # noqa: PTH112 - Path's raises where a name is too long
        try:
            with os.scandir(path) as entries:
                names = sorted(entry.name for entry in entries if not is_folder(entry))
        except OSError:
            return (path,)
        return tuple(path / name for name in names if name[0] != "." and name != "DICOMDIR") or (
            path,
        )
    companion = _companion_file(path)
    if companion is not None and os.path.isfile(companion):  # noqa: PTH113 - Path's may raise
        return (path, companion)
    return (path,)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether a directory entry is a folder; False for a link to itself."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _companion_file(path: Path) -> Path | None:
    """The data file of a header, or the header of a data file; None for a single file."""
    others = [part for part in pair(path) if part != path]
    is_header = path.suffix.lower() in {".mhd", ".nhdr"}
    if others or not is_header or not os.path.isfile(path):  # noqa: PTH113 - Path's may raise
        return others[0] if others else None
    try:
        name = text_header(path).data_file
    except OSError:
        return None
    return path.parent / name if name else None
