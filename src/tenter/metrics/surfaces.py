"""Distances between surfaces, in mm.

The surface of a mask consists of its voxels that have a voxel outside the mask among their six
face neighbours; everything beyond the grid is outside. For a slice it is the contour: four
neighbours in the plane. Distances are measured from voxel centre to nearest voxel centre, and
each surface voxel counts once (as in MONAI, SciPy).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from tenter.shapes import Mask, PointsMm


@dataclass(frozen=True, slots=True)
class SurfaceDistances:
    """Distances in mm between the surfaces of two masks, in both directions.

    Attributes:
        forth: from each surface voxel of the first mask to the second's surface.
        back: from each surface voxel of the second mask to the first's surface.
    """

    forth: Float[np.ndarray, "n"]
    back: Float[np.ndarray, "m"]

    def hausdorff(self, percentile: float = 95.0) -> float:
        """The larger of the two directed percentiles of distance, in mm; 100: Hausdorff's distance.

        Percentiles are interpolated linearly between distances.
        Source: Huttenlocher et al., IEEE PAMI 15 (1993) 850-863.
        """
        return float(
            max(np.percentile(self.forth, percentile), np.percentile(self.back, percentile))
        )

    def mean(self) -> float:
        """Mean over the pooled distances of both directions, mm (average symmetric distance).

        Source: Heimann et al., IEEE TMI 28 (2009) 1251-1265.
        """
        total = float(np.sum(self.forth)) + float(np.sum(self.back))
        return total / (self.forth.size + self.back.size)


def surface(mask: Mask, normal: int | None = None) -> Mask:
    """Voxels of the mask with a face neighbour outside it.

    Args:
        mask: `x y z`.
        normal: axis along which the grid has a single slice, and voxels have no neighbours.
    """
    padded = np.pad(mask, 1)
    inside = mask.copy()
    for axis in (axis for axis in range(3) if axis != normal):
        for shift in (slice(None, -2), slice(2, None)):
            window = [slice(1, -1)] * 3
            window[axis] = shift
            inside &= padded[tuple(window)]
    shell: Mask = mask & ~inside
    return shell


def surface_distances(
    first: Mask, second: Mask, spacing_mm: tuple[float, float, float], normal: int | None = None
) -> SurfaceDistances | None:
    """Exact distances between two surfaces on one grid.

    Nearest neighbours come from trees over the surface voxels alone: for organs, a quarter of the
    work of a distance transform of the masks' bounding box.

    Args:
        first: mask `x y z`.
        second: mask of the same shape.
        spacing_mm: distance of neighbouring voxels along each axis (axes at right angles).
        normal: axis along which the grid has a single slice; None for a volume, however thin the
            masks.

    Returns:
        None if either mask is empty.
    """
    ends = [_positions_mm(surface(mask, normal), spacing_mm) for mask in (first, second)]
    if not ends[0].size or not ends[1].size:
        return None
    forth, _ = cKDTree(ends[1]).query(ends[0])
    back, _ = cKDTree(ends[0]).query(ends[1])
    return SurfaceDistances(np.asarray(forth), np.asarray(back))


def _positions_mm(shell: Mask, spacing_mm: tuple[float, float, float]) -> PointsMm:
    positions: PointsMm = np.argwhere(shell) * np.array(spacing_mm, dtype=np.float64)
    return positions
