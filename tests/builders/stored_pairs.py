"""Pairs of small images over the ways they are stored,
with a map between them that has no symmetry.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
import torch
from scipy.spatial.transform import Rotation

from tenter.shapes import Matrix, PointsMm
from tenter.spatial import geometry, smooth
from tenter.spatial.transform import Transform

FIXED_SHAPE, MOVING_SHAPE = (11, 12, 9), (13, 10, 12)
GRID = ((12, 14, 11), (2.2, 2.0, 2.4))
SMALL_GRID = ((6, 7, 5), (2.2, 2.1, 2.5))
MIDDLE = np.array([30.0, -55, 12])
STORAGES = ("RAS", "LAS", "LPS", "anisotropic", "oblique", "left-handed")


@dataclass(frozen=True)
class Pair:
    """A pair's geometry, its map, and a moving image of noise in [0, 1)."""

    fixed: Matrix
    moving: Matrix
    transform: Transform
    image: torch.Tensor


def affine(storage: str, shape: tuple[int, ...]) -> Matrix:
    """Voxel to RAS mm of an image so stored, its middle near one place of the world."""
    oblique = Rotation.from_euler("zyx", [25, -15, 10], degrees=True).as_matrix()
    axes = {
        "RAS": np.diag([2.0, 2.0, 2.0]),
        "LAS": np.diag([-2.0, 2.0, 2.0]),
        "LPS": np.diag([-2.0, -2.0, 2.0]),
        "anisotropic": np.diag([1.5, 2.1, 3.0]),
        "oblique": oblique * [2.0, 1.8, 2.4],
        "left-handed": oblique[:, [1, 0, 2]] * [1.9, 2.2, 2.1],
    }
    result = np.eye(4)
    result[:3, :3] = axes[storage]
    result[:3, 3] = MIDDLE - axes[storage] @ (np.array(shape) - 1) / 2
    return result


def alignment(*, sheared: bool = False) -> Matrix:
    """A turn, a change of size and a shift; where asked for, with shear."""
    result = np.eye(4)
    turn = Rotation.from_euler("xyz", [4, -3, 5], degrees=True).as_matrix()
    result[:3, :3] = (
        turn @ [[1.05, 0.1, 0], [0, 0.95, -0.08], [0, 0, 1]] if sheared else turn * 1.03
    )
    result[:3, 3] = MIDDLE - result[:3, :3] @ MIDDLE + [1.5, -2.0, 0.7]
    return result


def pair(
    fixed: str,
    moving: str,
    grid: tuple[tuple[int, ...], tuple[float, ...]] = GRID,
    *,
    sheared: bool = True,
) -> Pair:
    """A pair of images stored in these ways; the map's field is smooth, up to about 3 mm."""
    generator = torch.Generator().manual_seed(7)
    place = affine(fixed, FIXED_SHAPE)
    field = smooth.smooth(torch.randn(1, 3, *grid[0], generator=generator), (1.5, 1.5, 1.5))
    field = field / field.abs().max() + torch.tensor([0.4, -0.2, 0.1]).reshape(1, 3, 1, 1, 1)
    transform = Transform(
        alignment(sheared=sheared), field, geometry.canonical_grid(place, FIXED_SHAPE, *grid)
    )
    image = torch.rand(1, 1, *MOVING_SHAPE, generator=generator)
    return Pair(place, affine(moving, MOVING_SHAPE), transform, image)


def itk_image(array: np.ndarray, place: Matrix) -> sitk.Image:
    """An image `[x, y, z]` for SimpleITK."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    lps, spacing = geometry.LPS @ place, geometry.spacing_mm(place)
    image.SetSpacing(spacing)
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image


def itk_points(transform: sitk.Transform, points: PointsMm) -> PointsMm:
    """Points `[n, 3]` RAS mm, mapped by SimpleITK."""
    lps = points * [-1, -1, 1]
    return np.array([transform.TransformPoint(point) for point in lps.tolist()]) * [-1, -1, 1]


def itk_warped(case: Pair, transform: sitk.Transform) -> np.ndarray:
    """The moving image on the fixed grid, by SimpleITK."""
    moving = itk_image(case.image[0, 0].numpy(), case.moving)
    fixed = itk_image(np.zeros(FIXED_SHAPE, np.float32), case.fixed)
    result: np.ndarray = sitk.GetArrayFromImage(
        sitk.Resample(moving, fixed, transform, sitk.sitkLinear)
    )
    return result.transpose(2, 1, 0)


def inside(case: Pair, margin: float = 0.01) -> np.ndarray:
    """Voxels of the fixed grid whose moving place lies so far inside the moving image,
    voxels of it.
    """
    places = case.transform.coordinates(case.fixed, FIXED_SHAPE, case.moving)[0].numpy()
    sizes = np.array(MOVING_SHAPE).reshape(3, 1, 1, 1)
    within: np.ndarray = np.all((places > margin) & (places < sizes - 1 - margin), axis=0)
    return within


def voxel_points(place: Matrix, shape: tuple[int, ...], *, between: bool = False) -> PointsMm:
    """Fifty voxels of a grid, or places between its voxels, RAS mm."""
    random = np.random.default_rng(0)
    top = np.array(shape)
    voxels = random.uniform(0, top - 1, (50, 3)) if between else random.integers(0, top, (50, 3))
    return geometry.apply(place, voxels.astype(np.float64))


def gentle_transform(
    seed: int, storage: str, *, sheared: bool, largest_mm: float = 15.0
) -> Transform:
    """A map whose field is smooth and does not fold, on a grid of 3 mm so stored."""
    shape, margin = (12, 10, 11), 20
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, 3, *[size + 2 * margin for size in shape], generator=generator)
    field = smooth.smooth(noise, (8.0, 8.0, 8.0))[
        ..., margin:-margin, margin:-margin, margin:-margin
    ]
    place = affine(storage, shape)
    place[:3, :3] *= 3 / np.array(geometry.spacing_mm(place))
    return Transform(alignment(sheared=sheared), field / field.abs().max() * largest_mm / 3, place)
