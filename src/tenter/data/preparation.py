"""Two images brought onto the case grid as a network sees them: aligned, resampled, normalised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from tenter.data import intensity, resampling
from tenter.data.cases import Grid
from tenter.data.volumes import Volume
from tenter.records import Plan
from tenter.shapes import Matrix
from tenter.spatial import geometry


@dataclass(frozen=True, slots=True, eq=False)
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


def prepared(
    moving: Volume, fixed: Volume, plan: Plan, placed: Matrix, names: tuple[str, str]
) -> PreparedImages:
    """Bring two images onto the case grid of the fixed one.

    Args:
        moving: the original moving image.
        fixed: the original fixed image.
        plan: grid and intensity rule.
        placed: the alignment, RAS mm to RAS mm, a fixed point to its moving point.
        names: of the moving and the fixed image, for complaints.

    Raises:
        DataError: an image is constant, or constant between its percentiles.
    """
    sources = [Grid(_shape(volume), volume.affine) for volume in (moving, fixed)]
    grid = geometry.canonical_grid(fixed.affine, sources[1].shape, plan.shape, plan.spacing_mm)
    cases = []
    for volume, place, name in zip((moving, fixed), (placed @ grid, grid), names, strict=True):
        values = intensity.normalised(volume.array, plan.intensity, name)
        to_volume = np.linalg.inv(volume.affine) @ place
        cases.append(resampling.on_grid(values, to_volume, plan.shape, padding="border"))
    return PreparedImages(grid, placed, cases[0], cases[1], sources[0], sources[1])


def _shape(volume: Volume) -> tuple[int, int, int]:
    _, x, y, z = volume.array.shape
    return x, y, z
