"""A prepared pair on disk: images on one grid, their labels, and a sidecar for each of the two.

Layout of `cases/<pair>/`: `moving.nii`, `fixed.nii` (float32, a 4th axis where there are
several channels) with `images.json`; `moving_labels.nii`, `fixed_labels.nii` (uint8, 255 is
1.0, one label per channel) with `labels.json`. Viewers can open all of these files; they are
memory-mapped here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from tenter import files, system_errors, tables
from tenter.errors import DataError
from tenter.formats import memory_maps
from tenter.records import Label, Set
from tenter.shapes import Matrix

SIDES = ("moving", "fixed")
IMAGES_SIDECAR = "images.json"
LABELS_SIDECAR = "labels.json"
_IMAGES: dict[str, files.Kind] = {
    "pair": str,
    "patients": list,
    "set": str,
    "stratum": (str, type(None)),
    "affine": list,
    "alignment": list,
    "moving": dict,
    "fixed": dict,
    "plan": str,
    "sources": dict,
}


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """An image's voxel grid: sizes along the stored axes, and the affine from voxel to RAS mm."""

    shape: tuple[int, int, int]
    affine: Matrix


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PreparedImages:
    """A pair on the case grid, with the grids of its original images.

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
        pair: id of the pair.
        patients: one patient id, or two.
        set: whether the pair is cross-validated, always trained on, or tested.
        stratum: value of the stratum column, or None.
        plan: hash of the plan by which it was prepared.
        sources: sha256 of each file that it was made from, by `moving`, `fixed` and the like.
    """

    pair: str
    patients: tuple[str, ...]
    set: Set
    stratum: str | None
    plan: str
    sources: dict[str, str]


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
    """Open a case's images; voxels are read on access.

    Args:
        folder: `cases/<pair>`.

    Raises:
        DataError: the case is missing or incomplete.
    """
    path = folder / IMAGES_SIDECAR
    sidecar = _sidecar(path, _IMAGES)
    moving, fixed = (_mapped(images_file(folder, side), np.dtype(np.float32)) for side in SIDES)
    sources = {side: _grid(path, sidecar[side]) for side in SIDES}
    return CaseImages(
        pair=sidecar["pair"],
        patients=tuple(sidecar["patients"]),
        set=sidecar["set"],
        stratum=sidecar["stratum"],
        plan=sidecar["plan"],
        sources=sidecar["sources"],
        affine=_matrix(path, sidecar["affine"]),
        alignment=_matrix(path, sidecar["alignment"]),
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
    path = folder / LABELS_SIDECAR
    sidecar = _sidecar(path, {"labels": list, "shape": list})
    for entry in sidecar["labels"]:
        files.require_keys(
            path, entry, {"name": str, "key": int, "role": str}, tables.PREPARE_AGAIN
        )
    labels = tuple(Label(entry["name"], entry["key"], entry["role"]) for entry in sidecar["labels"])
    if not labels:
        nothing = np.zeros((0, *_shape(path, sidecar["shape"])), dtype=np.uint8)
        return CaseLabels((), nothing, nothing)
    moving, fixed = (_mapped(labels_file(folder, side), np.dtype(np.uint8)) for side in SIDES)
    return CaseLabels(labels, moving, fixed)


def _sidecar(path: Path, keys: Mapping[str, files.Kind]) -> dict[str, Any]:
    return files.read_object(path, keys, tables.PREPARE_AGAIN)


def _matrix(path: Path, rows: object) -> Matrix:
    try:
        matrix = np.array(rows, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise files.damaged(
            path, "holds an affine that is not of numbers", tables.PREPARE_AGAIN
        ) from error
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise files.damaged(
            path,
            "holds an affine that is not a 4 x 4 matrix of finite numbers",
            tables.PREPARE_AGAIN,
        )
    return matrix


def _grid(path: Path, record: object) -> Grid:
    files.require_keys(path, record, {"shape": list, "affine": list}, tables.PREPARE_AGAIN)
    values: Any = record
    return Grid(_shape(path, values["shape"]), _matrix(path, values["affine"]))


def _shape(path: Path, sizes: Sequence[Any]) -> tuple[int, int, int]:
    if len(sizes) != 3 or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise files.damaged(path, f"holds the shape {sizes}, not three sizes", tables.PREPARE_AGAIN)
    return (sizes[0], sizes[1], sizes[2])


def _mapped(path: Path, dtype: np.dtype[Any]) -> np.ndarray:
    """A file's voxels as a memory map `[c, x, y, z]`."""
    try:
        stored = memory_maps.mapped(path)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise files.damaged(path, f"is damaged ({reason})", tables.PREPARE_AGAIN) from error
    except OSError as error:
        raise DataError(system_errors.fault(error, path, "read")) from error
    if stored.dtype != dtype:
        raise files.damaged(path, f"holds {stored.dtype}, not {dtype}", tables.PREPARE_AGAIN)
    return stored
