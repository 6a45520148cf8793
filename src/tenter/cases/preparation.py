"""Preparation of two images for a network: aligned, resampled onto the case grid, normalised."""

from __future__ import annotations

import numpy as np

from tenter.cases import intensity, planning, resampling
from tenter.cases.case_files import Grid, PreparedImages
from tenter.errors import DataError
from tenter.formats.volumes import Volume
from tenter.records import Fault, Plan
from tenter.shapes import Matrix
from tenter.spatial import geometry


def prepared(
    moving: Volume, fixed: Volume, plan: Plan, placed: Matrix, names: tuple[str, str]
) -> PreparedImages:
    """Bring two images onto the case grid of the fixed one.

    Args:
        moving: the original moving image.
        fixed: the original fixed image.
        plan: grid and intensity rule.
        placed: the alignment, RAS mm to RAS mm, a fixed point to its moving point.
        names: of the moving and the fixed image, for error messages.

    Raises:
        DataError: an image is constant, or constant between its percentiles; or the plan is for
            slices and the images are volumes, or the other way round.
    """
    sources = [Grid(_shape(volume), volume.affine) for volume in (moving, fixed)]
    _require_kind(sources[1], plan, names[1])
    grid = geometry.canonical_grid(fixed.affine, sources[1].shape, plan.shape, plan.spacing_mm)
    cases = []
    for volume, to_world, name in zip((moving, fixed), (placed @ grid, grid), names, strict=True):
        values = intensity.normalised(volume.array, plan.intensity, name)
        to_volume = np.linalg.inv(volume.affine) @ to_world
        cases.append(resampling.on_grid(values, to_volume, plan.shape, padding="border"))
    return PreparedImages(
        affine=grid,
        alignment=placed,
        moving=cases[0],
        fixed=cases[1],
        moving_source=sources[0],
        fixed_source=sources[1],
    )


def _require_kind(fixed: Grid, plan: Plan, name: str) -> None:
    """Refuse a volume where the grid is a slice, and a slice where the grid is not of its plane."""
    shape = [fixed.shape[axis] for axis in geometry.canonical_order(fixed.affine)]
    image_kind, grid_kind = planning.kind(shape), planning.kind(plan.shape)
    if image_kind != grid_kind:
        message = f"is {image_kind}, but the plan's grid is {grid_kind}"
        raise DataError(Fault(name, message, "give images of its kind"))


def _shape(volume: Volume) -> tuple[int, int, int]:
    _, x, y, z = volume.array.shape
    return x, y, z
