"""How regular a map is: folded voxels and the spread of local volume change.

Both read Jacobian determinants of the whole map from fixed to moving space.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tenter.shapes import Matrix
from tenter.spatial import jacobian


def determinants(displacement_mm: Float[Tensor, "3 x y z"], affine: Matrix) -> Float[np.ndarray, "i j k"]:
    """Jacobian determinants (mm to mm) of x -> x + displacement, at the inner voxels of a grid.

    Args:
        displacement_mm: RAS mm at each voxel of the grid.
        affine: voxel -> RAS mm of the grid; may be mirrored or oblique.

    Returns:
        Each axis shorter by 2, as differences are central.
    """
    to_voxels = torch.as_tensor(
        np.linalg.inv(affine[:3, :3]), dtype=displacement_mm.dtype, device=displacement_mm.device
    )
    field = torch.einsum("rc,cxyz->rxyz", to_voxels, displacement_mm)[None]
    return np.asarray(jacobian.determinant(field)[0].cpu().numpy())


def folding_percent(determinants: Float[np.ndarray, "..."]) -> float:
    """Share of voxels, in %, where the map is not locally invertible: J > 0 does not hold.

    NaN for a grid without inner voxels.
    """
    if not determinants.size:
        return float("nan")
    folded = determinants.size - int(np.count_nonzero(determinants > 0))
    return 100.0 * folded / determinants.size


def sd_log_jacobian(determinants: Float[np.ndarray, "..."]) -> float | None:
    """Standard deviation (population) of log J over the voxels where J > 0.

    Folded voxels have no logarithm; `folding_percent` counts them. None is returned if
    every voxel is folded. Source: Leow et al., IEEE TMI 26 (2007) 822-832, for log J.
    """
    positive = determinants[determinants > 0]
    return float(np.std(np.log(positive), dtype=np.float64)) if positive.size else None
