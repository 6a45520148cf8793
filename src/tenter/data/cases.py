"""A prepared pair on disk: moving and fixed on one grid, their labels, and a sidecar each.

Layout of `cases/<pair>/`: `moving.nii`, `fixed.nii` (float32, a 4th axis where there are
several channels) with `images.json`; `moving_labels.nii`, `fixed_labels.nii` (uint8, 255 is
1.0, one label a channel) with `labels.json`. All open in a viewer and are memory-mapped here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Float32, UInt8

from tenter import files, tables
from tenter.errors import DataError
from tenter.records import Label, Set
from tenter.shapes import Matrix

SIDES = ("moving", "fixed")
IMAGES_SIDECAR = "images.json"
LABELS_SIDECAR = "labels.json"


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Where an image's voxels lie: sizes along its axes as stored, and voxel to RAS mm."""

    shape: tuple[int, int, int]
    affine: Matrix


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PreparedImages:
    """A pair on the case grid, and where its originals lie.

    Attributes:
        affine: voxel of the case grid to RAS mm of the fixed image's world.
        alignment: RAS mm to RAS mm, a fixed point to its moving point before any network.
        moving: `[c, x, y, z]`, normalised, already aligned.
        fixed: `[c, x, y, z]`, normalised.
        moving_source: grid of the original moving image.
        fixed_source: grid of the original fixed image.
    """

    affine: Matrix
    alignment: Matrix
    moving: Float32[np.ndarray, "cm x y z"]
    fixed: Float32[np.ndarray, "cf x y z"]
    moving_source: Grid
    fixed_source: Grid


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CaseImages(PreparedImages):
    """Both images of a pair of the cohort on the case grid.

    Attributes:
        pair: its id.
        patients: one id, or two.
        set: cross-validated, always trained on, or tested.
        stratum: value of the stratum column, or None.
    """

    pair: str
    patients: tuple[str, ...]
    set: Set
    stratum: str | None


@dataclass(frozen=True, slots=True, eq=False)
class CaseLabels:
    """The labels that both sides of a pair have, on the case grid.

    Attributes:
        labels: what the channels are.
        moving: `[l, x, y, z]`, 0 to 255 for 0 to 1.
        fixed: `[l, x, y, z]`, 0 to 255 for 0 to 1.
    """

    labels: tuple[Label, ...]
    moving: UInt8[np.ndarray, "l x y z"]
    fixed: UInt8[np.ndarray, "l x y z"]


def images_file(folder: Path, side: str) -> Path:
    """The prepared image of a side (`moving` or `fixed`)."""
    return folder / f"{side}.nii"


def labels_file(folder: Path, side: str) -> Path:
    """The prepared labels of a side (`moving` or `fixed`)."""
    return folder / f"{side}_labels.nii"


def read_images(folder: Path) -> CaseImages:
    """Open a case's images; voxels are read as they are touched.

    Args:
        folder: `cases/<pair>`.

    Raises:
        DataError: the case is missing or incomplete.
    """
    said = _sidecar(folder / IMAGES_SIDECAR)
    moving, fixed = (_mapped(images_file(folder, side), np.dtype(np.float32)) for side in SIDES)
    sources = {side: Grid(tuple(said[side]["shape"]), _matrix(said[side]["affine"])) for side in SIDES}
    return CaseImages(
        pair=said["pair"],
        patients=tuple(said["patients"]),
        set=said["set"],
        stratum=said["stratum"],
        affine=_matrix(said["affine"]),
        alignment=_matrix(said["alignment"]),
        moving=moving,
        fixed=fixed,
        moving_source=sources["moving"],
        fixed_source=sources["fixed"],
    )


def read_labels(folder: Path) -> CaseLabels:
    """Open a case's labels; a pair without labels has none, and arrays `[0, x, y, z]`.

    Args:
        folder: `cases/<pair>`.

    Raises:
        DataError: the case is missing or incomplete.
    """
    said = _sidecar(folder / LABELS_SIDECAR)
    labels = tuple(Label(item["name"], item["key"], item["role"]) for item in said["labels"])
    if not labels:
        nothing = np.zeros((0, *said["shape"]), dtype=np.uint8)
        return CaseLabels((), nothing, nothing)
    moving, fixed = (_mapped(labels_file(folder, side), np.dtype(np.uint8)) for side in SIDES)
    return CaseLabels(labels, moving, fixed)


def _sidecar(path: Path) -> dict[str, Any]:
    try:
        said: dict[str, Any] = files.read_json(path)
    except (OSError, ValueError) as error:
        message = f"{path}: is missing or damaged; {tables.PREPARE_AGAIN}"
        raise DataError(message) from error
    return said


def _matrix(rows: list[list[float]]) -> Matrix:
    return np.array(rows, dtype=np.float64)


def _mapped(path: Path, dtype: np.dtype[Any]) -> np.ndarray:
    """A file's voxels as a memory map `[c, x, y, z]`."""
    try:
        image = nib.Nifti1Image.from_filename(path, mmap=True)
        proxy: Any = image.dataobj
        stored: np.ndarray = proxy.get_unscaled()
    except (OSError, ValueError, nib.filebasedimages.ImageFileError) as error:
        message = f"{path}: is missing or damaged; {tables.PREPARE_AGAIN}"
        raise DataError(message) from error
    if stored.dtype != dtype:
        message = f"{path}: holds {stored.dtype}, not {dtype}; {tables.PREPARE_AGAIN}"
        raise DataError(message)
    return np.moveaxis(stored.reshape((*stored.shape[:3], -1), order="F"), 3, 0)
