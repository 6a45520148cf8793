"""Affines of images as 4 x 4 float64 matrices: voxel to RAS mm, or RAS mm to RAS mm."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tenter.shapes import Matrix, PointsMm

LPS: Matrix = np.diag([-1.0, -1.0, 1.0, 1.0])
"""RAS mm to LPS mm, and back."""


def spacing_mm(affine: Matrix) -> tuple[float, float, float]:
    """Voxel size along each axis, mm."""
    x, y, z = (float(size) for size in np.linalg.norm(affine[:3, :3], axis=0))
    return x, y, z


def apply(matrix: Matrix, points: PointsMm) -> PointsMm:
    """Map points `[n, 3]` by a homogeneous matrix."""
    mapped: PointsMm = points @ matrix[:3, :3].T + matrix[:3, 3]
    return mapped


def translation(shift_mm: Float[np.ndarray, "3"] | Sequence[float]) -> Matrix:
    """The matrix of a translation, mm along each axis."""
    result = np.eye(4)
    result[:3, 3] = shift_mm
    return result


def centre_mm(affine: Matrix, shape: Sequence[int]) -> tuple[float, float, float]:
    """The centre of a voxel grid, RAS mm: the position of voxel (shape - 1) / 2."""
    middle = (np.asarray(shape[:3], dtype=np.float64) - 1) / 2
    x, y, z = (float(coordinate) for coordinate in apply(affine, middle[None])[0])
    return x, y, z


def canonical_directions(affine: Matrix) -> Float[np.ndarray, "3 3"]:
    """Unit axes of an image, re-ordered and flipped to point closest to R, A and S.

    Depends only on the axes' directions in physical space, not on how the image is stored;
    shear (from a header's rounding) is removed by the nearest rotation or reflection.

    Args:
        affine: voxel to RAS mm.

    Returns:
        `[3, 3]`, orthonormal columns.
    """
    left, _, right = np.linalg.svd(affine[:3, :3] / np.asarray(spacing_mm(affine)))
    axes = left @ right
    candidates = []
    for order in itertools.permutations(range(3)):
        columns = axes[:, order]
        candidates.append(columns * np.where(np.diag(columns) < 0, -1.0, 1.0))
    # Rounded, so that the last digit of a header does not decide for an image at 45 degrees.
    return max(
        candidates, key=lambda axes: (round(float(np.trace(axes)), 4), *np.round(axes, 4).flat)
    )


def canonical_order(affine: Matrix) -> tuple[int, int, int]:
    """The axes of an image that run along R, A and S, in the order of `canonical_directions`."""
    steps = canonical_directions(affine).T @ affine[:3, :3] / np.asarray(spacing_mm(affine))
    x, y, z = (int(axis) for axis in np.abs(steps).argmax(axis=1))
    return x, y, z


def canonical_grid(
    affine: Matrix,
    shape: Sequence[int],
    plan_shape: Sequence[int],
    plan_spacing: Sequence[float],
) -> Matrix:
    """The affine of the case grid of a fixed image: RAS-oriented, centred on the image.

    Args:
        affine: the fixed image's, voxel to RAS mm.
        shape: the fixed image's voxels.
        plan_shape: voxels of the grid.
        plan_spacing: voxel size of the grid, mm.

    Returns:
        Voxel of the grid to RAS mm.
    """
    result = np.eye(4)
    result[:3, :3] = canonical_directions(affine) * np.asarray(plan_spacing, dtype=np.float64)
    middle = (np.asarray(plan_shape, dtype=np.float64) - 1) / 2
    result[:3, 3] = np.asarray(centre_mm(affine, shape)) - result[:3, :3] @ middle
    return result
