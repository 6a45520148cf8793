"""Writing of NIfTI files, with verification by reading them back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from isal import igzip

from tenter import files
from tenter.errors import DataError, InputError, OutputError
from tenter.formats import nifti
from tenter.records import Fault
from tenter.shapes import Matrix

SUFFIXES = (".nii", ".nii.gz")
"""Suffixes of files that are written."""

GZIP_LEVEL = 1
AGAIN = "free some space, then run the same command again"


def write(path: Path, stored: np.ndarray, affine: Matrix, *, slope: float | None = None) -> None:
    """Write a volume as NIfTI-1, with only its geometry, in mm, in the header.

    Args:
        path: `.nii` or `.nii.gz`.
        stored: values as they are stored, channels last.
        affine: voxel to RAS mm.
        slope: scale factor of the stored values, for the header.

    Raises:
        InputError: the suffix is that of another format.
        OutputError: the file could not be written completely.
    """
    if not path.name.lower().endswith(SUFFIXES):
        fix = f"name it {' or '.join(SUFFIXES)}"
        raise InputError([Fault(str(path), "is not in a format in which volumes are written", fix)])
    image = nib.Nifti1Image(stored, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1, strip_shears=True)
    image.header.set_xyzt_units("mm")
    if slope is not None:
        # The stored values are written unchanged; the slope only states their scale.
        image.header.set_slope_inter(slope, 0)
    content = _parts(image.header, stored)
    if path.name.endswith(".gz"):
        content = [igzip.compress(b"".join(content), GZIP_LEVEL, mtime=0)]
    with files.written_whole(path) as temporary:
        with temporary.open("wb") as stream:
            stream.writelines(content)
        _verify(temporary, path, sum(map(len, content)), stored.shape)


def _parts(header: Any, stored: np.ndarray) -> list[memoryview | bytes]:  # noqa: ANN401 - nibabel's
    """Header and voxels as stored in a file."""
    header["magic"] = b"n+1"
    header["vox_offset"] = 352
    return [header.binaryblock + bytes(4), np.ascontiguousarray(stored.T).data.cast("B")]


def _verify(temporary: Path, path: Path, size: int, shape: tuple[int, ...]) -> None:
    """Read the file back: full disks and quotas may truncate it without an error."""
    try:
        header = nifti.layout(temporary).header
    except DataError as error:
        reason = "; ".join(fault.message for fault in error.faults)
        message = f"was not written completely (read back, it {reason})"
        raise OutputError(Fault(str(path), message, AGAIN)) from error
    stored_shape = (*header.shape, header.channels) if header.channels > 1 else header.shape
    if temporary.stat().st_size != size or stored_shape != shape:
        message = f"{temporary.stat().st_size} of {size} bytes were written"
        raise OutputError(Fault(str(path), message, AGAIN))
