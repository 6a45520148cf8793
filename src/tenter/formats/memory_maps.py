"""Voxels of uncompressed NIfTI files as memory maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

_NOT_NIFTI = (
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
    nib.wrapstruct.WrapStructError,
)


def mapped(path: Path) -> np.ndarray:
    """Stored values `[c, x, y, z]`, unscaled; data are read from the disk on access.

    Args:
        path: `.nii`.

    Raises:
        ValueError: the file is damaged, or is not NIfTI.
        OSError: it cannot be read.
    """
    try:
        image = nib.Nifti1Image.from_filename(path, mmap=True)
        proxy: Any = image.dataobj
        stored: np.ndarray = proxy.get_unscaled()
    except _NOT_NIFTI as error:
        raise ValueError(str(error)) from error
    return np.moveaxis(stored.reshape((*stored.shape[:3], -1), order="F"), 3, 0)
