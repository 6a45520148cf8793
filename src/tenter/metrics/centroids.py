"""Centroids of labels in physical space, and their distances in mm."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from tenter.shapes import Mask, Matrix


def centroid_mm(mask: Mask, affine: Matrix) -> Float[np.ndarray, "3"] | None:
    """Mean position of a mask's voxel centres.

    Args:
        mask: `x y z`.
        affine: voxel -> RAS mm.

    Returns:
        RAS mm in float64; None if the mask is empty.
    """
    count = int(np.count_nonzero(mask))
    if count == 0:
        return None
    planes = [np.count_nonzero(mask, axis=axes) for axes in ((1, 2), (0, 2), (0, 1))]
    voxel = np.array([np.arange(plane.size) @ plane for plane in planes], dtype=np.float64) / count
    position: Float[np.ndarray, "3"] = affine[:3, :3] @ voxel + affine[:3, 3]
    return position


def centroid_distance_mm(first: Mask, second: Mask, affine: Matrix) -> float | None:
    """Euclidean distance between the centroids of two masks on one grid.

    This is the target registration error (TRE) of a landmark that is given as a mask rather
    than as a point; source: Hu et al., Medical Image Analysis 49 (2018) 1-13, where the
    error of a case is the root mean square over its landmarks.

    Args:
        first: mask `x y z`.
        second: mask of the same shape.
        affine: voxel -> RAS mm of both.

    Returns:
        mm; None if either mask is empty, as it has no centroid.
    """
    ends = centroid_mm(first, affine), centroid_mm(second, affine)
    if ends[0] is None or ends[1] is None:
        return None
    return float(np.linalg.norm(ends[0] - ends[1]))
