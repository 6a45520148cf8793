"""Learn2Reg's metrics as its published evaluation computes them (version 2.0), faults included.

For comparison with results of that program; this project's own evaluation is `metrics.strict`.
The program ignores physical space: displacement, labels and points are in voxels.
Source: the evaluation of https://github.com/MDL-UzL/L2R; where it differs from what the
challenge describes, docs/reference/metrics.md says so.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from tenter.metrics import indices
from tenter.metrics.indices import IndexField
from tenter.metrics.overlap import dice
from tenter.metrics.regions import Region, on_one_grid
from tenter.metrics.surfels import robust_hausdorff
from tenter.spatial import jacobian


def label_figures(warped: Region, fixed: Region) -> dict[str, float]:
    """The metrics of a label that both images have.

    Args:
        warped: the moving label, warped to the fixed grid by `indices.nearest`.
        fixed: the fixed label; not empty.

    Returns:
        Value by metric; `learn2reg_hd95`, in voxels whatever their size, is infinite if the
        warped label is empty.
    """
    warped_mask, fixed_mask, _ = on_one_grid(warped, fixed)
    return {
        "learn2reg_dice": dice(warped_mask, fixed_mask),
        "learn2reg_hd95": robust_hausdorff(warped_mask, fixed_mask),
    }


def point_errors_mm(
    fixed: Float[np.ndarray, "n 3"],
    moving: Float[np.ndarray, "n 3"],
    field: IndexField,
    spacing_mm: tuple[float, float, float],
) -> Float[np.ndarray, "n"]:
    """Distance of mapped fixed points to their moving counterparts.

    The displacement is interpolated by cubic splines (0 beyond the outermost voxel centres), so
    that it differs slightly from the one that labels and images are warped by.

    Args:
        fixed: points in voxels of the fixed grid.
        moving: points in voxels of the moving grid.
        field: displacement in voxels, on the fixed grid.
        spacing_mm: voxel size of the moving grid.

    Returns:
        mm, one per point.
    """
    moves = [ndimage.map_coordinates(part.astype(np.float64), fixed.T, order=3) for part in field]
    gaps = (fixed + np.stack(moves, axis=1) - moving) * np.array(spacing_mm)
    errors: Float[np.ndarray, "n"] = np.linalg.norm(gaps, axis=1)
    return errors


def field_figures(field: IndexField) -> dict[str, float]:
    """Spread of volume change, and the number of folded voxels as the program counts them.

    3 is added to the determinants J of index + u, and they are clipped to [1e-9, 1e9] before the
    logarithm; folds are counted afterwards, as values at or below 0, so that there are never any.

    Returns:
        Value by metric; NaN for a grid with less than 5 voxels along an axis, as 2 on each side
        are left out.
    """
    raised = np.clip(_determinants(field) + 3, 1e-9, 1e9)
    spread = float(np.std(np.log(raised))) if raised.size else float("nan")
    return {
        "learn2reg_sd_log_jacobian": spread,
        "learn2reg_foldings": float(np.count_nonzero(raised <= 0)),
    }


def _determinants(field: IndexField) -> Float[np.ndarray, "..."]:
    parts = [
        jacobian.determinant(indices.tensor(field[:, start:stop]))[0, :, 1:-1, 1:-1].numpy()
        for start, stop in indices.slabs(field.shape[1:], overlap=2)
    ]
    return np.asarray(np.concatenate(parts)[1:-1])
