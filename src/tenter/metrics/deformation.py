"""Regularity of a map: folded voxels, volume turned inside out, and spread of the volume change.

All metrics are of the whole map from fixed to moving space.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tenter.shapes import Matrix
from tenter.spatial import geometry, jacobian


def determinants(
    displacement_mm: Float[Tensor, "3 x y z"], affine: Matrix
) -> Float[np.ndarray, "i j k"]:
    """Jacobian determinants (mm to mm) of x -> x + displacement, at the inner voxels of a grid.

    Args:
        displacement_mm: RAS mm at each voxel of the grid.
        affine: voxel -> RAS mm of the grid; may be mirrored or oblique.

    Returns:
        Each axis shorter by 2, as differences are central.
    """
    return np.asarray(jacobian.determinant(_in_voxels(displacement_mm, affine))[0].cpu().numpy())


def turned_volume(displacement_mm: Float[Tensor, "3 x y z"], affine: Matrix) -> float:
    """Volume that x -> x + displacement turns inside out, in voxels of the grid.

    Determinants by central differences ignore the voxel at which they are evaluated; the ten
    tetrahedra between a voxel and its neighbours miss no fold between voxels. Source: Liu et al.,
    On finite difference Jacobian computation in deformable image registration, IJCV 2024.

    Args:
        displacement_mm: RAS mm at each voxel of the grid.
        affine: voxel -> RAS mm of the grid; may be mirrored or oblique.

    Returns:
        Sum over the inner voxels; divided by their number it is the non-diffeomorphic volume (NDV).
    """
    turned = jacobian.non_diffeomorphic_map(
        _towards_ras(_in_voxels(displacement_mm, affine), affine)
    )
    return float(turned.sum(dtype=torch.float64))


def _towards_ras(field: Float[Tensor, "1 3 x y z"], affine: Matrix) -> Float[Tensor, "1 3 x y z"]:
    """The same field on axes that ascend to R, A and S.

    The ten tetrahedra depend on the direction of the axes; otherwise a fold at the grid's edge
    would be counted according to how the image is stored.
    """
    steps = geometry.canonical_directions(affine).T @ affine[:3, :3]
    backwards = [axis for axis in range(3) if steps[np.abs(steps[:, axis]).argmax(), axis] < 0]
    signs = field.new_tensor([-1.0 if axis in backwards else 1.0 for axis in range(3)])
    return (field * signs.reshape(1, 3, 1, 1, 1)).flip([axis + 2 for axis in backwards])


def _in_voxels(
    displacement_mm: Float[Tensor, "3 x y z"], affine: Matrix
) -> Float[Tensor, "1 3 x y z"]:
    to_voxels = torch.as_tensor(
        np.linalg.inv(affine[:3, :3]), dtype=displacement_mm.dtype, device=displacement_mm.device
    )
    return torch.einsum("rc,cxyz->rxyz", to_voxels, displacement_mm)[None]


def folding_percent(determinants: Float[np.ndarray, "..."]) -> float:
    """Share of voxels, in %, where the map is not locally invertible: not J > 0.

    NaN for a grid without inner voxels.
    """
    if not determinants.size:
        return float("nan")
    folded = determinants.size - int(np.count_nonzero(determinants > 0))
    return 100.0 * folded / determinants.size


def sd_log_jacobian(determinants: Float[np.ndarray, "..."]) -> float | None:
    """Standard deviation (population) of log J over the voxels where J > 0.

    Folded voxels have no logarithm; `folding_percent` counts them. The result is None if
    every voxel is folded. Source: Leow et al., IEEE TMI 26 (2007) 822-832, for log J.
    """
    positive = determinants[determinants > 0]
    return float(np.std(np.log(positive), dtype=np.float64)) if positive.size else None
