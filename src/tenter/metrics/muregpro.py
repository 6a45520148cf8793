"""µ-RegPro's metrics as the challenge's public code computes them, faults included.

For comparison with results of that code; this project's own evaluation is `metrics.strict`.
The code ignores physical space: everything is in voxels.
Source: https://github.com/muregpro/Baseline-Networks; where it differs from what the
challenge describes, docs/reference/metrics.md says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import ndimage
from scipy.spatial import cKDTree

from tenter.metrics import indices
from tenter.metrics.indices import IndexField
from tenter.metrics.regions import bounds, hull
from tenter.shapes import Mask

ROBUST = 0.68
"""Share of cases, or of a case's labels, that the robust measures keep."""

DIVIDED = {"tre": 0.3, "rtre": 0.1, "rts": 0.1, "hd95": 0.2}
"""Metrics of a cohort that are divided by the unregistered cohort's, with weights in the score."""

CUT = ("tre", "rtre", "rts")
"""Those that differ if errors are cut to whole numbers."""

SoftLabel = Float[np.ndarray, "x y z"]
Elsewhere = Float[np.ndarray, "i j k"]
"""A soft label on another grid."""

Errors = Float[np.ndarray, "cases labels"]


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


@dataclass(frozen=True, slots=True)
class Cohort:
    """Errors of all pairs (rows) and labels (columns); 0 if a pair lacks a label on both sides.

    Attributes:
        tre: by `centroid_error`.
        hd95: by `hd95`.
    """

    tre: Errors
    hd95: Errors

    def aggregates(self, *, whole: bool) -> dict[str, float]:
        """`tre`, `rtre`, `rts` and `hd95` of the cohort, voxels; NaN if no label is left.

        A label that has no error in any pair is left out of the first three.

        Args:
            whole: means of errors over axes, and of squares over labels, are cut to whole numbers,
                as the code does with TensorFlow before 2.16.
        """
        errors = self.tre[:, np.any(self.tre != 0, axis=0)]
        errors = np.floor(errors + 1e-9) if whole else errors
        cases = np.array([_rms(case, whole=whole) for case in errors])
        robust = np.array([_rms(_lowest(case), whole=whole) for case in errors])
        return {
            "tre": _mean(cases),
            "rtre": _mean(_lowest(cases)),
            "rts": _mean(robust),
            "hd95": _mean(self.hd95.ravel()),
        }


def robust_dice(values: Sequence[float]) -> float:
    """Mean of the 68 % best cases."""
    return -_mean(_lowest(-np.array(values, dtype=np.float64)))


def score(dice: Sequence[float], registered: dict[str, float], before: dict[str, float]) -> float:
    """The challenge's weighted sum, from 0 to 1.

    Args:
        dice: of the first label, one value per case.
        registered: aggregates of the cohort.
        before: aggregates of the unregistered cohort, by which each is divided.
    """
    shares = {name: float(np.clip(ratio(registered[name], before[name]), 0, 1)) for name in DIVIDED}
    errors = math.fsum(weight * (1 - shares[name]) for name, weight in DIVIDED.items())
    return 0.2 * _mean(np.array(dice)) + 0.1 * robust_dice(dice) + errors


def ratio(value: float, unit: float) -> float:
    """Quotient; NaN for two zeros, infinite if only the unit is zero."""
    if unit:
        return value / unit
    return math.nan if value == 0 or math.isnan(value) else math.inf


def _rms(errors: Float[np.ndarray, "n"], *, whole: bool) -> float:
    if not errors.size:
        return math.nan
    mean = float(np.mean(np.square(errors)))
    return math.sqrt(math.floor(mean + 1e-9) if whole else mean)


def _lowest(values: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m"]:
    return np.sort(values)[: round(values.size * ROBUST)]


def _mean(values: Float[np.ndarray, "n"]) -> float:
    return float(np.mean(values)) if values.size else math.nan
