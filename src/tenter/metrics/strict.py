"""The strict family of metrics: every distance Euclidean and in mm, nothing averaged away.

It is always measured. `learn2reg` and `muregpro` stand beside it for comparison with
figures of those challenges.
"""

from __future__ import annotations

from tenter.metrics.centroids import centroid_distance_mm
from tenter.metrics.definitions import STRICT
from tenter.metrics.overlap import dice
from tenter.metrics.regions import Region, on_one_grid, shifted
from tenter.metrics.surfaces import surface_distances
from tenter.shapes import Matrix
from tenter.spatial.geometry import spacing_mm

UNITS = {metric.name: metric.unit for metric in STRICT}
"""Every metric of the family, with its unit."""


def label_figures(
    warped: Region, fixed: Region, affine: Matrix, *, surfaces: bool, normal: int | None = None
) -> dict[str, float | None]:
    """What is measured of one label.

    Args:
        warped: the moving label on the fixed grid; empty if it vanished.
        fixed: the fixed label; not empty.
        affine: voxel -> RAS mm of the fixed grid.
        surfaces: whether distances of surfaces are measured too.
        normal: axis that the fixed grid is one slice across, or None.

    Returns:
        Value by metric; a distance is None if the warped label is empty.
    """
    ours, theirs, start = on_one_grid(warped, fixed)
    figures: dict[str, float | None] = {
        "dice": dice(ours, theirs),
        "tre": centroid_distance_mm(ours, theirs, shifted(affine, start)),
    }
    if surfaces:
        distances = surface_distances(ours, theirs, spacing_mm(affine), normal)
        figures["hd95"] = distances.hausdorff() if distances else None
        figures["surface_distance"] = distances.mean() if distances else None
    return figures
