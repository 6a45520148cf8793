"""The whole map of a pair, from physical points of the fixed image to those of the moving image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tenter.shapes import Matrix, PointsMm
from tenter.spatial import axes, constants, geometry, grids, inverse_grid, lines, warp

CLOSE_MM = 0.02
"""Round-trip error between voxels at which an inverse is fine enough."""

FINEST = 4
"""Largest refinement by default: voxels of an inverse per voxel of the grid, along each axis."""

MOST_VOXELS = 2**25
"""Largest size of an inverse by default: 0.4 GB, twice that in a file."""


@dataclass(frozen=True, slots=True, eq=False)
class Transform:
    """A network's field on the case grid, then the alignment that preceded it.

    A fixed point x (RAS mm) lies at p = affine^-1 x; the field moves it to p' = p + u(p),
    u interpolated linearly; the moving point is alignment · affine · p'. As in ITK, u has
    its edge values up to half a voxel beyond the grid's outermost voxel centres and is zero
    further out.

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
        points = torch.from_numpy(np.ascontiguousarray(voxels.T))[None, :, :, None, None]
        moves = _read(self.field.to(dtype=torch.float64, device="cpu"), points)
        moved = voxels + moves[0, :, :, 0, 0].numpy().T
        return geometry.apply(self.alignment @ self.affine, moved)

    def inverse_points(self, points_mm: PointsMm) -> tuple[PointsMm, Float[np.ndarray, " n"]]:
        """Fixed points of moving points `[n, 3]` RAS mm, in float64: exact for each point.

        Found by `invert.preimages`. Where the field folds, several fixed points exist and one of
        them is returned.

        Args:
            points_mm: moving points.

        Returns:
            The fixed points; and for each, the distance of its image from the moving point, mm.
            This usually exceeds rounding only where the edge of the field's grid leaves a gap that
            no fixed point is mapped into.
        """
        targets = geometry.apply(np.linalg.inv(self.alignment @ self.affine), points_mm)
        field = self.field.to(dtype=torch.float64, device="cpu")
        sources = inverse_grid.origins(field, torch.from_numpy(targets)).numpy()
        fixed_points = geometry.apply(self.affine, sources)
        residual: np.ndarray = np.linalg.norm(self.map_points(fixed_points) - points_mm, axis=1)
        return fixed_points, residual

    def inverse(self, refine: int | None = None) -> tuple[Transform, float]:
        """The map from moving to fixed points as a transform with its own field.

        Its field is exact at its voxels and interpolated linearly between them. Its grid is the
        image of this one's under the alignment, enlarged to cover the field's range; it is sheared
        if the alignment has shear.

        Args:
            refine: voxels per voxel of this grid along each axis; by default the first of 1, 2
                and 4 with a round-trip error within 0.02 mm wherever the field does not fold, or
                the finest of at most 2^25 voxels; 1 if it folds nearly everywhere.

        Returns:
            The inverse; and the largest round-trip error of inner points of the grid, mm, folds
            included.
        """
        factor, grid = refine or 1, None
        while True:
            grid = inverse_grid.inverse_grid(self.field, factor, grid)
            to_mm = torch.as_tensor(self.affine[:3, :3], device=self.field.device)
            largest_mm, sound_mm = inverse_grid.return_errors(self.field, grid, to_mm)
            finer = grid.field[0, 0].numel() * 8 <= MOST_VOXELS and factor < FINEST
            if refine is not None or not finer or not sound_mm > CLOSE_MM:
                break
            factor *= 2
        step = geometry.translation(grid.first) @ np.diag([1 / factor] * 3 + [1])
        affine = self.alignment @ self.affine @ step
        return Transform(np.linalg.inv(self.alignment), grid.field, affine), largest_mm

    def displacement_mm(self, affine: Matrix, shape: Sequence[int]) -> Float[Tensor, "3 *grid"]:
        """The whole map minus identity, at the voxels of any grid.

        Args:
            affine: the grid's, voxel to RAS mm.
            shape: the grid's voxels.

        Returns:
            `[3, *shape]` RAS mm, in the field's dtype and on its device.
        """
        # A · p = x, so that only the displacement is rounded, never the coordinates.
        moves = self._moves(affine, shape)
        return _in_mm(moves, self.alignment @ self.affine, (self.alignment, affine))

    def inverse_displacement_mm(
        self, affine: Matrix, shape: Sequence[int]
    ) -> Float[Tensor, "3 *grid"]:
        """The inverse map minus identity at the voxels of any grid: exact, as `inverse_points`.

        Args:
            affine: the grid's, voxel to RAS mm of the moving image's space.
            shape: the grid's voxels.

        Returns:
            `[3, *shape]` RAS mm, in the field's dtype and on its device.
        """
        field = self.field.double()
        to_grid = np.linalg.inv(self.alignment @ self.affine) @ affine
        targets = grids.mapped(_tensor(to_grid[:3], field)[None], shape)
        columns = targets[0].flatten(1).T
        moves = (inverse_grid.origins(field, columns) - columns).T.reshape(targets.shape)
        return _in_mm(moves, self.affine, (np.linalg.inv(self.alignment), affine)).to(
            self.field.dtype
        )

    def coordinates(
        self, fixed_affine: Matrix, fixed_shape: Sequence[int], moving_affine: Matrix
    ) -> Float[Tensor, "1 3 *grid"]:
        """The position of each voxel of a fixed grid in the moving image, for `warp.sample`.

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
        if tuple(shape) == self.field.shape[2:] and np.allclose(
            to_grid, np.eye(4), rtol=0, atol=1e-9
        ):
            return self.field
        if axes.are_apart(to_grid, tuple(shape)):
            return _read_lines(self.field, to_grid, tuple(shape))
        return _read(self.field, grids.mapped(_tensor(to_grid[:3], self.field)[None], shape))


def moving_voxels(
    displacement_mm: Float[Tensor, "3 *grid"], fixed_affine: Matrix, moving_affine: Matrix
) -> Float[Tensor, "1 3 *grid"]:
    """The position of each voxel of a fixed grid in the moving image, from the displacement there.

    Args:
        displacement_mm: `[3, *shape]` RAS mm, as `Transform.displacement_mm` gives it.
        fixed_affine: voxel to RAS mm of the fixed grid.
        moving_affine: voxel to RAS mm of the moving image.

    Returns:
        `[1, 3, *shape]`, voxels of the moving image.
    """
    to_voxels = np.linalg.inv(moving_affine)
    start = _tensor((to_voxels @ fixed_affine)[:3], displacement_mm)[None]
    moves = torch.einsum(
        "rc,cxyz->rxyz", _tensor(to_voxels[:3, :3], displacement_mm), displacement_mm
    )
    return grids.mapped(start, displacement_mm.shape[1:]) + moves


def _in_mm(moves: Tensor, to_mm: Matrix, outer: tuple[Matrix, Matrix]) -> Tensor:
    """A map minus identity `[3, *shape]` mm: a field's displacement in mm, plus the alignment's.

    Args:
        moves: `[1, 3, *shape]`, voxels.
        to_mm: voxels to mm.
        outer: the alignment, and the affine of the grid that `moves` lies on.
    """
    alignment, affine = outer
    result = torch.einsum("rc,bcxyz->brxyz", _tensor(to_mm[:3, :3], moves), moves)
    if not np.array_equal(alignment, np.eye(4)):
        change = ((alignment - np.eye(4)) @ affine)[:3]
        result = result + grids.mapped(_tensor(change, moves)[None], moves.shape[2:])
    return result[0]


def _tensor(matrix: np.ndarray[tuple[int, ...], np.dtype[np.float64]], like: Tensor) -> Tensor:
    return torch.as_tensor(matrix, dtype=like.dtype, device=like.device)


def _read_lines(field: Tensor, to_grid: Matrix, shape: tuple[int, ...]) -> Tensor:
    """As `_read`, at the voxels of a grid with axes parallel to the field's."""
    axis_positions = axes.places(to_grid, shape)
    weights = []
    for size, (_, positions) in zip(field.shape[2:], axis_positions, strict=True):
        inside = (positions >= -0.5) & (positions < size - 0.5)
        weights.append(
            lines.linear(size, positions.clip(0, size - 1)) * torch.from_numpy(inside)[:, None]
        )
    return lines.read(field, weights, [axis for axis, _ in axis_positions])


def _read(field: Tensor, points: Tensor) -> Tensor:
    """The field at voxel coordinates; zero beyond the outermost half voxel."""
    sizes = constants.numbers(field.shape[2:], points).reshape(1, -1, 1, 1, 1)
    inside = ((points >= -0.5) & (points < sizes - 0.5)).all(dim=1, keepdim=True)
    return warp.sample(field, points) * inside
