"""The table of image formats: the one place that lists them."""

from __future__ import annotations

from pathlib import Path

from tenter.errors import FormatError
from tenter.formats import dicom, meta_files, nifti, nrrd_files
from tenter.formats.image_format import Format
from tenter.records import Fault

FORMATS: tuple[Format, ...] = (
    nifti.FORMAT,
    meta_files.FORMAT,
    nrrd_files.FORMAT,
    dicom.FORMAT,
)


def suffixes() -> tuple[str, ...]:
    """The suffixes of all image files, in lower case."""
    return tuple(suffix for known in FORMATS for suffix in known.suffixes)


def of(path: Path) -> Format:
    """The format of a volume, by its suffix; a folder holds DICOM.

    Raises:
        DataError: the suffix is unknown.
    """
    name, is_folder = path.name.lower(), path.is_dir()
    for known in FORMATS:
        if (not known.suffixes) if is_folder else name.endswith(known.suffixes):
            return known
    fix = f"give one of {', '.join(suffixes())}, or for an image the folder of a DICOM series"
    raise FormatError(Fault(str(path), "does not have the suffix of a known format", fix))
