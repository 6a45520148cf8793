"""µ-RegPro's metrics as the challenge's public code computes them, faults included.

For comparison with results of that code; this project's own evaluation is `metrics.strict`.
The code ignores physical space: everything is in voxels.
Source: https://github.com/muregpro/Baseline-Networks; where it differs from what the
challenge describes, docs/reference/metrics.md says so.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import ndimage
from scipy.spatial import cKDTree

from tenter.metrics import indices
from tenter.metrics.indices import IndexField
from tenter.metrics.regions import bounds, hull
from tenter.shapes import Mask

SoftLabel = Float[np.ndarray, "x y z"]
Elsewhere = Float[np.ndarray, "i j k"]
"""A soft label on another grid."""


def stretched(values: SoftLabel) -> SoftLabel:
    """Values rescaled to [0, 1]; a constant is unchanged."""
    low, high = float(values.min()), float(values.max())
    return values if low == high else np.asarray((values - low) / (high - low))


def warped(moving: Elsewhere, field: IndexField) -> SoftLabel:
    """A moving label on the fixed grid; one that touches its image's edge continues outside it."""
    return indices.linear(stretched(moving), field)


def soft_dice(first: SoftLabel, second: SoftLabel) -> float:
    """Twice the sum of the products, divided by the sum of all values; 0 if both are empty."""
    total = float(np.sum(first)) + float(np.sum(second))
    return 2 * float(np.sum(first * second)) / total if total else 0.0


def centroid_error(first: SoftLabel, second: Elsewhere) -> float:
    """Mean over the three axes of the distance between centroids, along each in whole voxels.

    Centroids are those of the values above 0.5, cut to whole voxels; that of an empty label is
    voxel (0, 0, 0). The two grids may differ: only indices are compared.
    """
    ends = [_whole_centroid(values > 0.5) for values in (first, second)]
    return float(np.abs(ends[0] - ends[1]).sum()) / 3


def _whole_centroid(mask: Mask) -> Float[np.ndarray, "3"]:
    voxels = np.argwhere(mask)
    return np.asarray(voxels.sum(axis=0) // max(1, len(voxels)), dtype=np.float64)


def hd95(first: SoftLabel, second: SoftLabel) -> float:
    """95th percentile of distances between two labels, both directions pooled, in voxels.

    Every voxel above the lowest value belongs to a label, and every voxel of a label counts,
    not only its boundary: voxels that the labels share are at distance 0. If one label is empty,
    distances are to the corner of the array; if both are, the result is 0.

    Args:
        first: in [0, 1].
        second: on the same grid.
    """
    sides = [(stretched(values) != 0, values != 0) for values in (first, second)]
    pooled = np.concatenate(
        [_distances(sides[1][0], sides[0][1]), _distances(sides[0][0], sides[1][1])]
    )
    return float(np.percentile(pooled, 95)) if pooled.size else 0.0


def _distances(voxels: Mask, target: Mask) -> Float[np.ndarray, "n"]:
    """From each set voxel to the nearest set voxel of the target, which may be the same."""
    box, target_box = bounds(voxels), bounds(target)
    if box is None:
        return np.zeros(0)
    if target_box is None:
        # The result of SciPy's distance transform if there is no target voxel.
        return np.asarray(np.sqrt(1 + np.square(np.argwhere(voxels)).sum(axis=1, dtype=np.float64)))
    area = hull((box, target_box))
    outside = np.argwhere(voxels[area] & ~target[area])
    shared = np.zeros(int(np.count_nonzero(voxels)) - len(outside))
    if not len(outside):
        return shared
    distances, _ = cKDTree(np.argwhere(target[area])).query(outside)
    return np.concatenate([shared, np.asarray(distances)])


def resized(label: Elsewhere, shape: tuple[int, int, int]) -> SoftLabel:
    """A label resized to another shape, ignoring physical space.

    Linear, after smoothing along axes that shrink, as in scikit-image's `resize`, by which the
    code resizes an unregistered moving label to the fixed image's shape.
    """
    if label.shape == shape:
        return stretched(label)
    factors = np.divide(label.shape, shape)
    smooth = ndimage.gaussian_filter(label, np.maximum(0, (factors - 1) / 2), mode="mirror")
    return stretched(ndimage.zoom(smooth, 1 / factors, order=1, mode="mirror", grid_mode=True))


def figures(fixed: SoftLabel, moved: SoftLabel) -> dict[str, float]:
    """The metrics of a label.

    Args:
        fixed: the fixed label, stretched.
        moved: the moving label on the fixed grid, by `warped`.

    Returns:
        Value by metric.
    """
    return {
        "muregpro_dice": soft_dice(fixed, moved),
        "muregpro_tre": centroid_error(fixed, moved),
        "muregpro_hd95": hd95(fixed, moved),
    }


def unregistered(fixed: SoftLabel, moving: Elsewhere) -> dict[str, float]:
    """The metrics before registration, by which others are divided: the arrays as stored.

    Args:
        fixed: the fixed label, stretched.
        moving: the moving label, stretched, on its own grid.

    Returns:
        Value by metric.
    """
    return {
        "muregpro_unregistered_tre": centroid_error(fixed, moving),
        "muregpro_unregistered_hd95": hd95(fixed, resized(moving, fixed.shape)),
    }
