"""Change of volume by a deformation: Jacobian determinants and non-diffeomorphic volume."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tenter.spatial import constants, planes, slices
from tenter.tensors import Field, PerSample

SLAB_VOXELS = 2**17


def determinant(
    field: Field, spacing_mm: Sequence[float] | None = None
) -> Float[Tensor, "b *interior"]:
    """Jacobian determinant det(I + grad u) of x -> x + u(x), by central differences.

    Values at or below 0 are folds. The outermost voxels are left out: one-sided differences
    there would not be comparable. On a grid of one slice it is the determinant in the plane.

    Args:
        field: `[b, d, *space]`, displacement in voxels; or in mm along the grid's axes.
        spacing_mm: voxel size if the field is in mm; None if it is in voxels (the determinant
            of the same deformation is the same).

    Returns:
        `[b, *interior]`, each axis shorter by 2, except the normal of a slice.
    """
    dimensions = field.shape[1]
    steps = (1.0,) * dimensions if spacing_mm is None else tuple(spacing_mm)
    normal = slices.normal(field.shape[2:])
    if normal is not None:
        steps = steps[:normal] + steps[normal + 1 :]
        return determinant(planes.to_plane(field, normal), steps).unsqueeze(1 + normal)
    columns = [_slope(field, axis, step) for axis, step in enumerate(steps)]
    for axis, column in enumerate(columns):
        column[:, axis] += 1
    if dimensions == 2:
        (a, c), (b, d) = (column.unbind(1) for column in columns)
        return a * d - b * c
    return _triple(*columns)


def _slope(field: Field, axis: int, step: float) -> Tensor:
    inner = [slice(None), slice(None), *[slice(1, -1)] * (field.ndim - 2)]
    after, before = list(inner), list(inner)
    after[axis + 2] = slice(2, None)
    before[axis + 2] = slice(None, -2)
    slope: Tensor = (field[tuple(after)] - field[tuple(before)]) / (2 * step)
    return slope


def non_diffeomorphic_map(field: Float[Tensor, "b 3 x y z"]) -> Float[Tensor, "b i j k"]:
    """Volume turned inside out around each voxel, in voxels; 0 where there is none.

    Liu et al., On finite difference Jacobian computation in deformable image registration, IJCV
    2024, as LUMIR's evaluation counts it. A cube of eight neighbouring voxels can be split into
    five tetrahedra in two ways. Around a voxel lie the right-angled ones with their corner there
    (the determinants by forward or backward differences along each axis, eight in all) and two
    central ones that start there. Each determinant is six times a signed volume, and each of the
    two ways counts for half. On a grid of one slice, the square of four neighbouring voxels can be
    split into two triangles in two ways, and around a voxel lie four of them.

    Args:
        field: `[b, 3, x, y, z]`, displacement in voxels.

    Returns:
        `[b, x - 2, y - 2, z - 2]`, with one voxel along the normal of a slice: the outermost
        voxels lack neighbours and are left out.
    """
    normal = slices.normal(field.shape[2:])
    if normal is None:
        return _by_slabs(field, _turned)
    areas = _twice_areas(planes.to_plane(field, normal))
    turned = functools.reduce(torch.add, (area.clamp(max=0) for area in areas))
    return -turned.unsqueeze(1 + normal) / 4


def non_diffeomorphic_volume(
    field: Float[Tensor, "b 3 x y z"], inside: Bool[Tensor, "b x y z"] | None = None
) -> PerSample:
    """Share of volume that is turned inside out, from 0 to about 1 (NDV; times 100 is LUMIR's %).

    Args:
        field: `[b, 3, x, y, z]`, displacement in voxels.
        inside: voxels that count, such as a body; all by default. The outermost ones never count.

    Returns:
        The share of each sample; NaN if no voxel counts.
    """
    return _share(non_diffeomorphic_map(field), inside)


def non_diffeomorphic_voxels(
    field: Float[Tensor, "b 3 x y z"], inside: Bool[Tensor, "b x y z"] | None = None
) -> PerSample:
    """Share of voxels around which any of the ten tetrahedra is flat or turned inside out.

    What Liu et al. (IJCV 2024) call not digitally diffeomorphic. Their programs print another
    number under this name: the voxels where `determinant`, of central differences, is not above 0.

    Args:
        field: `[b, 3, x, y, z]`, displacement in voxels.
        inside: as in `non_diffeomorphic_volume`.

    Returns:
        The share of each sample, from 0 to 1; NaN if no voxel counts.
    """
    return _share(_by_slabs(field, _unsound), inside)


def _by_slabs(field: Tensor, measure: Callable[[Tensor], Tensor]) -> Tensor:
    """A measure of inner voxels, computed a few layers at a time: bounds memory, and is faster."""
    inner = field.shape[2] - 2
    thickness = max(1, SLAB_VOXELS // field[:, 0, 0].numel())
    slabs = [
        measure(field[:, :, first : first + thickness + 2]) for first in range(0, inner, thickness)
    ]
    return torch.cat(slabs, dim=1) if slabs else measure(field)


def _turned(field: Tensor) -> Tensor:
    return (
        -functools.reduce(torch.add, (volume.clamp(max=0) for volume in _six_volumes(field))) / 12
    )


def _unsound(field: Tensor) -> Tensor:
    sound = functools.reduce(torch.logical_and, (volume > 0 for volume in _six_volumes(field)))
    return (~sound).to(field.dtype)


def _six_volumes(field: Tensor) -> Iterator[Tensor]:
    """Six times the signed volume of each of the ten tetrahedra at each inner voxel."""
    axes = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    edges = [(_edge(field, axis, 1), -_edge(field, axis, -1)) for axis in axes]
    for first, second in itertools.product(*edges[:2]):
        face = _cross(first, second)
        for third in edges[2]:
            yield _dot(face, third)
    # The central tetrahedron of the cube ahead of the voxel, and of the one behind it.
    for sign, diagonals in (
        (1, ((1, 1, 0), (0, 1, 1), (1, 0, 1))),
        (-1, ((1, 1, 0), (1, 0, 1), (0, 1, 1))),
    ):
        yield _triple(*(_edge(field, diagonal, sign) for diagonal in diagonals))


def _twice_areas(plane: Tensor) -> Iterator[Tensor]:
    """Twice the signed area of each of the four triangles at each inner voxel of a plane."""
    edges = [(_edge(plane, axis, 1), -_edge(plane, axis, -1)) for axis in ((1, 0), (0, 1))]
    for first, second in itertools.product(*edges):
        yield first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]


def _edge(field: Tensor, steps: Sequence[int], sign: int) -> Tensor:
    """The vector from each mapped inner voxel to its mapped neighbour, voxels."""
    step = constants.numbers(steps, field).reshape(1, -1, *[1] * len(steps)) * sign
    return (
        _neighbour(field, [sign * size for size in steps])
        - _neighbour(field, [0] * len(steps))
        + step
    )


def _neighbour(field: Tensor, steps: Sequence[int]) -> Tensor:
    """Values at an offset of `steps` voxels from each inner voxel."""
    ranges = [
        slice(1 + step, size - 1 + step) for step, size in zip(steps, field.shape[2:], strict=True)
    ]
    return field[(slice(None), slice(None), *ranges)]


def _triple(first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    """The triple product: first x second . third."""
    return _dot(_cross(first, second), third)


def _cross(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The cross product, written out because torch's is much slower."""
    (a, b, c), (d, e, f) = first.unbind(1), second.unbind(1)
    return b * f - c * e, c * d - a * f, a * e - b * d


def _dot(first: tuple[Tensor, Tensor, Tensor], second: Tensor) -> Tensor:
    (a, b, c), (g, h, i) = first, second.unbind(1)
    return a * g + b * h + c * i


def _share(amount: Tensor, inside: Tensor | None) -> Tensor:
    """Mean of a quantity of inner voxels over those that count."""
    if inside is None:
        return amount.flatten(1).mean(dim=1)
    counted = inside[:, 1:-1, 1:-1, 1:-1].to(amount.dtype)
    return (amount * counted).flatten(1).sum(dim=1) / counted.flatten(1).sum(dim=1)
