"""What strict metrics measure: a warped label, mapped points, or the labels of a pair.

A field is measured by its `survey.Survey`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from tenter.metrics.regions import Region, on_one_grid, shifted
from tenter.metrics.surfaces import SurfaceDistances, surface_distances
from tenter.shapes import Mask, Matrix, PointsMm
from tenter.spatial.geometry import spacing_mm


@dataclass(frozen=True, eq=False)
class WarpedLabel:
    """A moving label warped to the fixed grid, and the fixed label.

    Attributes:
        warped: mask `x y z` on the smallest grid that holds both; empty if the label vanished.
        fixed: mask `x y z`; not empty.
        affine: voxel -> RAS mm of that grid.
        normal: axis along which the fixed image has a single slice, or None.
    """

    warped: Mask
    fixed: Mask
    affine: Matrix
    normal: int | None = None

    @classmethod
    def of(
        cls, warped: Region, fixed: Region, affine: Matrix, normal: int | None = None
    ) -> WarpedLabel:
        """Both labels cut out of the fixed grid with this affine."""
        warped_mask, fixed_mask, start = on_one_grid(warped, fixed)
        return cls(warped_mask, fixed_mask, shifted(affine, start), normal)

    @functools.cached_property
    def surfaces(self) -> SurfaceDistances | None:
        """Distances between the surfaces of both, in mm; None if the label vanished."""
        return surface_distances(self.warped, self.fixed, spacing_mm(self.affine), self.normal)


@dataclass(frozen=True, slots=True, eq=False)
class MappedPoints:
    """Fixed points mapped into the moving image, and their partners there.

    Attributes:
        mapped: RAS mm, `n 3`.
        moving: RAS mm, `n 3`, in the same order.
    """

    mapped: PointsMm
    moving: PointsMm


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredLabels:
    """The labels of one role of a pair, each with its values by metric.

    Attributes:
        values: None for a value that could not be measured.
    """

    values: tuple[Mapping[str, float | None], ...]
