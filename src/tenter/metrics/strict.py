"""The strict family of metrics: every distance is Euclidean and in mm, no error is averaged away.

It is always measured. `learn2reg` and `muregpro` are optional, for comparison with results of
those challenges.
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
    """The metrics of one label.

    Args:
        warped: the moving label on the fixed grid; empty if it vanished.
        fixed: the fixed label; not empty.
        affine: voxel -> RAS mm of the fixed grid.
        surfaces: whether to measure surface distances, too.
        normal: axis along which the fixed grid has a single slice, or None.

    Returns:
        Value by metric; a distance is None if the warped label is empty.
    """
    warped_mask, fixed_mask, start = on_one_grid(warped, fixed)
    figures: dict[str, float | None] = {
        "dice": dice(warped_mask, fixed_mask),
        "tre": centroid_distance_mm(warped_mask, fixed_mask, shifted(affine, start)),
    }
    if surfaces:
        distances = surface_distances(warped_mask, fixed_mask, spacing_mm(affine), normal)
        figures["hd95"] = distances.hausdorff() if distances else None
        figures["surface_distance"] = distances.mean() if distances else None
    return figures
