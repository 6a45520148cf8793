"""Where a fixed point lies in the moving image before any network, by the plan's rule."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tenter.cases.case_files import Grid
from tenter.errors import DataError
from tenter.formats import headers, transforms
from tenter.formats.volumes import Volume
from tenter.records import AlignmentRule
from tenter.shapes import Matrix
from tenter.spatial import geometry, slices

Place = Float[np.ndarray, "3"]

COARSE = 64
"""Voxels along each axis in a coarse look at an image."""

TILT = 0.05
"""A slice may lie this far out of the plane of the other, in thicknesses."""


def align(rule: AlignmentRule, moving: Volume, fixed: Volume, transform: Path | None = None) -> Matrix:
    """The alignment of a pair, RAS mm to RAS mm: a fixed point to the moving point that lies on it.

    Slices come to lie in one plane, as `levelled` says.

    Args:
        rule: `header` (the same place), `centre` (middle of the volume on middle of the volume),
            `mass` (centre of mass on centre of mass) or `file`.
        moving: the moving image.
        fixed: the fixed image.
        transform: for `file`: a transform that ITK reads, linear or a composite of linear ones, which
            maps fixed to moving points.

    Raises:
        DataError: `file` without a transform, or one that cannot be used; `mass` of a constant image;
            slices in different planes, or one slice and one volume.
    """
    grids = [Grid(_shape(volume), volume.affine) for volume in (moving, fixed)]
    return levelled(_placed(rule, moving, fixed, transform), *grids)


def levelled(placed: Matrix, moving: Grid, fixed: Grid) -> Matrix:
    """An alignment of two slices with the rest taken out by which it misses the moving one's plane.

    Args:
        placed: RAS mm to RAS mm, a fixed point to its moving point.
        moving: grid of the moving image.
        fixed: of the fixed image.

    Returns:
        The alignment, shifted along the moving slice's normal; of volumes as it is.

    Raises:
        DataError: the slices, as thick as they are, do not meet, or lie at an angle; or one image is a
            slice and the other a volume.
    """
    axis, other = slices.normal(moving.shape), slices.normal(fixed.shape)
    if axis is None and other is None:
        return placed
    if axis is None or other is None:
        which = ("fixed", "moving") if axis is None else ("moving", "fixed")
        message = f"the {which[0]} image is one slice and the {which[1]} one a volume; give two of a kind"
        raise DataError(message)
    thickness, own = geometry.spacing_mm(moving.affine)[axis], geometry.spacing_mm(fixed.affine)[other]
    normal = moving.affine[:3, axis] / thickness
    ends = (placed @ fixed.affine @ headers.corners(fixed.shape))[:3]
    heights = normal @ (ends - moving.affine[:3, 3:])
    middle = float(heights.mean())
    if abs(middle) > (thickness + own) / 2:
        message = (
            f"the fixed slice lies {abs(middle):.4g} mm from the plane of the moving one; "
            "set `plan.alignment` to `centre`, or give slices of one place"
        )
        raise DataError(message)
    tilt = float(np.abs(heights - middle).max())
    if tilt > TILT * thickness:
        message = (
            f"the fixed slice reaches {tilt:.4g} mm out of the plane of the moving one, which is "
            f"{thickness:.4g} mm thick; give slices of one orientation, or an initial transform between them"
        )
        raise DataError(message)
    result: Matrix = geometry.translation(-middle * normal) @ placed
    return result


def _placed(rule: AlignmentRule, moving: Volume, fixed: Volume, transform: Path | None) -> Matrix:
    if rule == "header":
        return np.eye(4)
    if rule == "centre":
        return geometry.translation(_middle(moving) - _middle(fixed))
    if rule == "mass":
        return geometry.translation(centre_of_mass_mm(moving, "moving") - centre_of_mass_mm(fixed, "fixed"))
    if transform is None:
        message = "plan.alignment is `file` but the pair has no initial_transform; name one in the manifest"
        raise DataError(message)
    return transforms.read_alignment(transform)


def centre_of_mass_mm(volume: Volume, name: str) -> Place:
    """The mean place of an image's voxels, RAS mm, each weighted by its intensity.

    Intensities count from their channel's minimum, so that air weighs nothing also where it is
    negative (CT); the weights of several channels are added up. In float64, so that the way an image is
    stored shows in no digit that matters.

    Args:
        volume: the image.
        name: which one it is, for complaints.

    Raises:
        DataError: the image is constant and so has no such centre.
    """
    if all(channel.min() == channel.max() for channel in volume.array):
        message = f"the {name} image is constant and has no centre of mass; choose another `plan.alignment`"
        raise DataError(message)
    sums = [_weights(volume, axis) for axis in range(3)]
    voxel = [float(along @ np.arange(len(along)) / along.sum()) for along in sums]
    place: Place = geometry.apply(volume.affine, np.array([voxel]))[0]
    return place


def coarse_centre_of_mass_mm(volume: Volume) -> tuple[float, float, float] | None:
    """The same from at most 64 voxels along each axis; None where these are constant."""
    steps = [math.ceil(size / COARSE) for size in _shape(volume)]
    starts = [step // 2 for step in steps]
    local = np.diag([*map(float, steps), 1.0])
    local[:3, 3] = starts
    window = tuple(slice(start, None, step) for start, step in zip(starts, steps, strict=True))
    coarse = Volume(np.ascontiguousarray(volume.array[(slice(None), *window)]), volume.affine @ local)
    if all(channel.min() == channel.max() for channel in coarse.array):
        return None
    x, y, z = centre_of_mass_mm(coarse, "sampled")
    return float(x), float(y), float(z)


def _weights(volume: Volume, axis: int) -> Float[np.ndarray, "n"]:
    """What each plane of voxels across an axis weighs."""
    others = tuple(other for other in range(3) if other != axis)
    found = np.zeros(volume.array.shape[1 + axis])
    for channel in volume.array:
        floor = float(channel.min()) * (channel.size / len(found))
        found += channel.sum(axis=others, dtype=np.float64) - floor
    return found


def _shape(volume: Volume) -> tuple[int, int, int]:
    _, x, y, z = volume.array.shape
    return x, y, z


def _middle(volume: Volume) -> Place:
    return np.array(geometry.centre_mm(volume.affine, volume.array.shape[1:]))
