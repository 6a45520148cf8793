"""The whole map of a pair, from a point of the fixed image's world to the moving image's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tenter.shapes import Matrix, PointsMm
from tenter.spatial import geometry, grids, warp


@dataclass(frozen=True, slots=True, eq=False)
class Transform:
    """A network's field on the case grid, then the alignment that preceded it.

    A fixed point x (RAS mm) lies at p = affine^-1 x; the field moves it to p' = p + u(p),
    u interpolated linearly; the moving point is alignment · affine · p'. As in ITK, u is
    zero further than half a voxel beyond the grid's outermost voxel centres, and that of
    the edge within this half voxel.

    Attributes:
        alignment: RAS mm to RAS mm.
        field: `[1, 3, x, y, z]`, voxels of the grid.
        affine: voxel of the grid to RAS mm.
    """

    alignment: Matrix
    field: Float[Tensor, "1 3 x y z"]
    affine: Matrix

    def without_field(self) -> Transform:
        """The alignment alone, on the same grid: the state before registration."""
        return replace(self, field=torch.zeros_like(self.field))

    def map_points(self, points_mm: PointsMm) -> PointsMm:
        """Moving points of fixed points, both `[n, 3]` RAS mm, in float64."""
        voxels = geometry.apply(np.linalg.inv(self.affine), points_mm)
        places = torch.from_numpy(np.ascontiguousarray(voxels.T))[None, :, :, None, None]
        moves = _read(self.field.to(dtype=torch.float64, device="cpu"), places)
        moved = voxels + moves[0, :, :, 0, 0].numpy().T
        return geometry.apply(self.alignment @ self.affine, moved)

    def displacement_mm(self, affine: Matrix, shape: Sequence[int]) -> Float[Tensor, "3 *grid"]:
        """The whole map minus identity, at the voxels of any grid.

        Args:
            affine: the grid's, voxel to RAS mm.
            shape: the grid's voxels.

        Returns:
            `[3, *shape]` RAS mm, in the field's dtype and on its device.
        """
        # A · p = x, so that rounding meets the displacement only, never the coordinates.
        moves = self._moves(affine, shape)
        linear = _tensor((self.alignment @ self.affine)[:3, :3], moves)
        result = torch.einsum("rc,bcxyz->brxyz", linear, moves)
        if not np.array_equal(self.alignment, np.eye(4)):
            rest = ((self.alignment - np.eye(4)) @ affine)[:3]
            result = result + grids.mapped(_tensor(rest, moves)[None], shape)
        return result[0]

    def coordinates(
        self, fixed_affine: Matrix, fixed_shape: Sequence[int], moving_affine: Matrix
    ) -> Float[Tensor, "1 3 *grid"]:
        """Where each voxel of a fixed grid lies in the moving image, for `warp.sample`.

        Args:
            fixed_affine: voxel to RAS mm of the fixed grid (original or any other).
            fixed_shape: its voxels.
            moving_affine: voxel to RAS mm of the moving image.

        Returns:
            `[1, 3, *fixed_shape]`, voxels of the moving image.
        """
        displacement = self.displacement_mm(fixed_affine, fixed_shape)
        return moving_voxels(displacement, fixed_affine, moving_affine)

    def _moves(self, affine: Matrix, shape: Sequence[int]) -> Tensor:
        """The field at the voxels of another grid, in voxels of its own."""
        to_grid = np.linalg.inv(self.affine) @ affine
        if tuple(shape) == self.field.shape[2:] and np.allclose(to_grid, np.eye(4), rtol=0, atol=1e-9):
            return self.field
        return _read(self.field, grids.mapped(_tensor(to_grid[:3], self.field)[None], shape))


def moving_voxels(
    displacement_mm: Float[Tensor, "3 *grid"], fixed_affine: Matrix, moving_affine: Matrix
) -> Float[Tensor, "1 3 *grid"]:
    """Where each voxel of a fixed grid lies in the moving image, given the displacement there.

    Args:
        displacement_mm: `[3, *shape]` RAS mm, as `Transform.displacement_mm` gives it.
        fixed_affine: voxel to RAS mm of the fixed grid.
        moving_affine: voxel to RAS mm of the moving image.

    Returns:
        `[1, 3, *shape]`, voxels of the moving image.
    """
    to_voxels = np.linalg.inv(moving_affine)
    start = _tensor((to_voxels @ fixed_affine)[:3], displacement_mm)[None]
    moves = torch.einsum("rc,cxyz->rxyz", _tensor(to_voxels[:3, :3], displacement_mm), displacement_mm)
    return grids.mapped(start, displacement_mm.shape[1:]) + moves


def _tensor(matrix: np.ndarray[tuple[int, ...], np.dtype[np.float64]], like: Tensor) -> Tensor:
    return torch.as_tensor(matrix, dtype=like.dtype, device=like.device)


def _read(field: Tensor, places: Tensor) -> Tensor:
    """The field at voxel coordinates; zero beyond the outermost half voxel."""
    sizes = torch.tensor(field.shape[2:], dtype=places.dtype, device=places.device).reshape(1, -1, 1, 1, 1)
    inside = ((places >= -0.5) & (places < sizes - 0.5)).all(dim=1, keepdim=True)
    return warp.sample(field, places) * inside
