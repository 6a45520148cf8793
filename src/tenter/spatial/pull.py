"""Images and displacements on whole grids, computed slab by slab so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from tenter.shapes import Matrix
from tenter.spatial import geometry, warp
from tenter.spatial.transform import Transform, moving_voxels

SLAB_VOXELS = 2**19
"""Voxels processed at a time: bounds memory, and small slabs are faster."""


@torch.no_grad()
def displacement(
    transform: Transform, affine: Matrix, shape: Sequence[int], *, inverse: bool = False
) -> Float[Tensor, "3 *grid"]:
    """The whole map minus identity at the voxels of a grid.

    Args:
        transform: fixed point to moving point.
        affine: the grid's, voxel to RAS mm of the fixed image's space; of the moving image's
            with `inverse`.
        shape: the grid's voxels.
        inverse: map moving points to fixed points.

    Returns:
        `[3, *shape]` RAS mm, in the field's dtype, on the CPU.
    """
    result = torch.empty((3, *shape), dtype=transform.field.dtype)
    for slab, moves, _ in _slabs(transform, affine, shape, inverse=inverse):
        result[:, slab] = moves.to(result)
    return result


@torch.no_grad()
def pull(
    image: Float[Tensor, "1 c *inside"],
    transform: Transform,
    fixed: tuple[Matrix, Sequence[int]],
    moving_affine: Matrix,
    *,
    mode: warp.Mode = "linear",
    padding: warp.Padding = "border",
    inverse: bool = False,
) -> Float[Tensor, "c *grid"]:
    """A moving image on a fixed grid; interpolated once, at the image of each voxel's centre.

    Args:
        image: `[1, c, *in]`, the moving image; the fixed one with `inverse`.
        transform: fixed point to moving point.
        fixed: affine (voxel to RAS mm) and shape of the grid to fill, in the fixed image's
            space; in the moving image's with `inverse`.
        moving_affine: voxel to RAS mm of `image`.
        mode: `linear`, or the `nearest` voxel for a map of labels.
        padding: beyond the image, `border` for images, `zeros` for labels.
        inverse: warp a fixed image onto a grid in the moving image's space.

    Returns:
        `[c, *shape]`, in the field's dtype, on the CPU.
    """
    affine, shape = fixed
    source = image.to(transform.field)
    result = torch.empty((image.shape[1], *shape), dtype=source.dtype)
    for slab, moves, slab_affine in _slabs(transform, affine, shape, inverse=inverse):
        voxels = moving_voxels(moves, slab_affine, moving_affine)
        result[:, slab] = warp.sample(source, voxels, mode=mode, padding=padding)[0].to(result)
    return result


@torch.no_grad()
def pull_by(
    image: Float[Tensor, "1 c *inside"],
    displacement_mm: Float[Tensor, "3 *grid"],
    affine: Matrix,
    moving_affine: Matrix,
    *,
    mode: warp.Mode = "linear",
    padding: warp.Padding = "border",
) -> Float[Tensor, "c *grid"]:
    """A moving image on a fixed grid, by a displacement that is already computed; as `pull`.

    Args:
        image: `[1, c, *in]`, on the device that computes.
        displacement_mm: `[3, *shape]` RAS mm, as `displacement` gives it.
        affine: voxel to RAS mm of the grid that the displacement lies on.
        moving_affine: voxel to RAS mm of `image`.
        mode: as in `pull`.
        padding: as in `pull`.

    Returns:
        `[c, *shape]`, in the displacement's dtype, on the CPU.
    """
    shape = displacement_mm.shape[1:]
    source = image.to(displacement_mm.dtype)
    result = torch.empty((image.shape[1], *shape), dtype=source.dtype)
    for slab, slab_affine in _ranges(affine, shape):
        voxels = moving_voxels(
            displacement_mm[:, slab].to(source.device), slab_affine, moving_affine
        )
        result[:, slab] = warp.sample(source, voxels, mode=mode, padding=padding)[0].to(result)
    return result


def _slabs(
    transform: Transform, affine: Matrix, shape: Sequence[int], *, inverse: bool
) -> Iterator[tuple[slice, Tensor, Matrix]]:
    """Each slab's range along the first axis, displacement `[3, slab, y, z]` RAS mm, and affine."""
    displacement_of = transform.inverse_displacement_mm if inverse else transform.displacement_mm
    for slab, slab_affine in _ranges(affine, shape):
        yield slab, displacement_of(slab_affine, (slab.stop - slab.start, *shape[1:])), slab_affine


def _ranges(affine: Matrix, shape: Sequence[int]) -> Iterator[tuple[slice, Matrix]]:
    thickness = max(1, SLAB_VOXELS // max(1, shape[1] * shape[2]))
    for first in range(0, shape[0], thickness):
        slab = slice(first, min(first + thickness, shape[0]))
        yield slab, affine @ geometry.translation((float(first), 0.0, 0.0))
