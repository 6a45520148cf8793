"""NIfTI files, written whole and read back."""

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
"""Of files that are written."""

GZIP_LEVEL = 1


def write(path: Path, stored: np.ndarray, affine: Matrix, *, slope: float | None = None) -> None:
    """Write a volume as NIfTI-1, with nothing in its header but its geometry, in mm.

    Args:
        path: `.nii` or `.nii.gz`.
        stored: values as they are stored, channels last.
        affine: voxel to RAS mm.
        slope: factor of the stored values.

    Raises:
        InputError: the name asks for another format.
        OutputError: it could not be written whole.
    """
    if not path.name.lower().endswith(SUFFIXES):
        fix = f"name it {' or '.join(SUFFIXES)}"
        raise InputError([Fault(str(path), "asks for no format that volumes are written in", fix)])
    image = nib.Nifti1Image(stored, affine)
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1, strip_shears=True)
    image.header.set_xyzt_units("mm")
    if slope is not None:
        # The stored numbers are written as they are; the slope only says what they mean.
        image.header.set_slope_inter(slope, 0)
    content = _parts(image.header, stored)
    if path.name.endswith(".gz"):
        content = [igzip.compress(b"".join(content), GZIP_LEVEL, mtime=0)]
    with files.written_whole(path) as temporary:
        with temporary.open("wb") as stream:
            stream.writelines(content)
        _verify(temporary, path, sum(map(len, content)), stored.shape)


def _parts(head: Any, stored: np.ndarray) -> list[memoryview | bytes]:  # noqa: ANN401 - nibabel has no types
    """Header and voxels as they are laid out in a file."""
    head["magic"] = b"n+1"
    head["vox_offset"] = 352
    return [head.binaryblock + bytes(4), np.ascontiguousarray(stored.T).data.cast("B")]


def _verify(temporary: Path, path: Path, size: int, shape: tuple[int, ...]) -> None:
    """Read back what was written: disks and quotas may keep a part of it without a word."""
    try:
        head = nifti.layout(temporary).header
    except DataError as error:
        message = f"{path}: was not written whole ({error})"
        raise OutputError(message) from error
    kept = (*head.shape, head.channels) if head.channels > 1 else head.shape
    if temporary.stat().st_size != size or kept != shape:
        message = f"{path}: {temporary.stat().st_size} of {size} bytes were written; free some space"
        raise OutputError(message)
