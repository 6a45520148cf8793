"""Moving labels warped onto the fixed grid, and fixed points mapped into the moving image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from tenter import files
from tenter.errors import DataError
from tenter.formats import point_writers, volumes
from tenter.formats.points import AXES
from tenter.formats.volumes import LabelVolume
from tenter.measurement import metric_tables
from tenter.measurement.truth import Position, Truth
from tenter.metrics.points import point_errors_mm
from tenter.metrics.regions import Grid
from tenter.records import Fault
from tenter.spatial.pull import pull
from tenter.spatial.transform import Transform

POINT_COLUMNS = (
    "label",
    *AXES,
    *(f"{side}_{axis}" for side in ("fixed", "moving") for axis in AXES),
    "error_mm",
    "space",
    "unit",
)


@dataclass(frozen=True, slots=True)
class Folders:
    """Where warped labels and tables of mapped points are written.

    Attributes:
        warped_labels: folder for the warped labels, or None.
        mapped_points: folder for the tables of points, or None.
        warps_labels: whether labels are requested.
        maps_points: whether points are requested.
    """

    warped_labels: Path | None
    mapped_points: Path | None
    warps_labels: bool
    maps_points: bool


def write(pair: str, truth: Truth, transform: Transform, folders: Folders) -> None:
    """Write a pair's labels on the fixed grid and its points in the moving image, if requested.

    An earlier file that is no longer requested is removed.

    Args:
        pair: the pair's id.
        truth: its labels and points.
        transform: fixed point to moving point.
        folders: what is written, and where.

    Raises:
        DataError: a requested file has no folder.
        OutputError: a file could not be written whole.
    """
    labels, fixed = truth.labels, truth.fixed_points
    requested = folders.warps_labels and labels is not None
    path = _output_path(folders.warped_labels, f"{pair}.nii.gz", requested=requested)
    if path is not None and labels is not None:
        write_warped_labels(labels.moving, truth.image, transform, path)
    requested = folders.maps_points and bool(fixed)
    path = _output_path(folders.mapped_points, f"{pair}.tsv", requested=requested)
    if path is not None:
        write_mapped_points(fixed, truth.moving_points, transform, path)


def _output_path(folder: Path | None, name: str, *, requested: bool) -> Path | None:
    """The path to write, or None; an earlier file that is no longer requested is removed."""
    if folder is None and requested:
        fix = "say where by --warped-labels and --mapped-points"
        raise DataError(Fault("settings", "ask for labels or points to be written", fix))
    if folder is not None and not requested:
        files.remove(folder / name)
    return folder / name if folder is not None and requested else None


def write_warped_labels(labels: LabelVolume, grid: Grid, transform: Transform, path: Path) -> None:
    """Write moving labels on the fixed grid: a map by the nearest voxel, a soft stack linearly.

    Args:
        labels: of the moving image; 0 outside it.
        grid: of the fixed image.
        transform: fixed point to moving point.
        path: `.nii` or `.nii.gz`.

    Raises:
        OutputError: it could not be written whole.
    """
    soft = labels.values.ndim == 4
    values = torch.from_numpy(labels.values).to(torch.float64)
    warped = pull(
        values[None] if soft else values[None, None],
        # Label boundaries are decided in float64, so that rounding does not change a voxel.
        replace(transform, field=transform.field.to(torch.float64)),
        (grid.affine, grid.shape),
        labels.affine,
        mode="linear" if soft else "nearest",
        padding="zeros",
    ).numpy()
    volumes.write_labels(path, warped if soft else warped[0].astype(np.int32), grid.affine)


def write_mapped_points(
    fixed: Mapping[str, Position], moving: Mapping[str, Position], transform: Transform, path: Path
) -> None:
    """Write the positions of fixed points in the moving image, and their distances to its points.

    A table: label, x, y, z (the mapped point), fixed_x, ..., moving_x, ..., error_mm, space, unit;
    all in RAS mm. The moving point and the error stay empty if only the fixed image has the point.

    Args:
        fixed: points of the fixed image by name, RAS mm; at least one.
        moving: of the moving image, likewise; may be empty.
        transform: fixed point to moving point.
        path: `.tsv`.

    Raises:
        OutputError: it could not be written.
    """
    mapped = transform.map_points(np.array(list(fixed.values()), dtype=np.float64))
    rows: list[tuple[object, ...]] = []
    for (name, start), end in zip(fixed.items(), mapped, strict=True):
        moving_point = moving.get(name)
        error = (
            None
            if moving_point is None
            else float(point_errors_mm(end[None], np.array([moving_point]))[0])
        )
        ends = (*end.tolist(), *start, *(moving_point or (None, None, None)))
        rows.append((metric_tables.plain(name), *ends, error, "RAS", "mm"))
    files.write_text(path, point_writers.separated([POINT_COLUMNS, *rows], "\t"))
