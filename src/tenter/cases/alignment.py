"""The initial alignment of a pair, before any network, by the rule in the plan."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tenter.cases.case_files import Grid
from tenter.errors import DataError
from tenter.formats import headers, itk_transforms
from tenter.formats.volumes import Volume
from tenter.records import AlignmentRule, Fault
from tenter.shapes import Matrix
from tenter.spatial import geometry, slices

Place = Float[np.ndarray, "3"]

COARSE = 64
"""Largest number of voxels along each axis in a coarse sample of an image."""

SUBJECT = "alignment"
"""What a fault is about that concerns both images of a pair."""

TILT = 0.05
"""Largest distance of a slice from the plane of the other one, in slice thicknesses."""


def align(
    rule: AlignmentRule, moving: Volume, fixed: Volume, transform: Path | None = None
) -> Matrix:
    """The alignment of a pair in RAS mm; it maps a fixed point to its moving point.

    Two slices are moved into one plane, as `levelled` describes.

    Args:
        rule: `header` (scanner coordinates), `centre` (volume centre on volume centre),
            `mass` (centre of mass on centre of mass) or `file`.
        moving: the moving image.
        fixed: the fixed image.
        transform: for `file`: a transform that ITK reads, linear or a composite of linear
            transforms, which maps fixed to moving points.

    Raises:
        DataError: `file` is set but there is no usable transform; `mass` is set but an image is
            constant; the slices lie in different planes; or one image is a slice and the other a
            volume.
    """
    grids = [Grid(_shape(volume), volume.affine) for volume in (moving, fixed)]
    return levelled(_placed(rule, moving, fixed, transform), *grids)


def levelled(placed: Matrix, moving: Grid, fixed: Grid) -> Matrix:
    """Move an alignment of two slices into the moving slice's plane.

    Args:
        placed: RAS mm to RAS mm, a fixed point to its moving point.
        moving: grid of the moving image.
        fixed: grid of the fixed image.

    Returns:
        The alignment, shifted along the moving slice's normal; unchanged for volumes.

    Raises:
        DataError: the slices do not meet within their thickness, or lie at an angle; or one image
            is a slice and the other a volume.
    """
    moving_axis, fixed_axis = slices.normal(moving.shape), slices.normal(fixed.shape)
    if moving_axis is None and fixed_axis is None:
        return placed
    if moving_axis is None or fixed_axis is None:
        which = ("fixed", "moving") if moving_axis is None else ("moving", "fixed")
        message = f"the {which[0]} image is one slice and the {which[1]} one a volume"
        raise DataError(Fault(SUBJECT, message, "give two slices or two volumes"))
    thickness, fixed_thickness = (
        geometry.spacing_mm(moving.affine)[moving_axis],
        geometry.spacing_mm(fixed.affine)[fixed_axis],
    )
    normal = moving.affine[:3, moving_axis] / thickness
    ends = (placed @ fixed.affine @ headers.corners(fixed.shape))[:3]
    heights = normal @ (ends - moving.affine[:3, 3:])
    middle = float(heights.mean())
    if abs(middle) > (thickness + fixed_thickness) / 2:
        message = f"the fixed slice lies {abs(middle):.4g} mm from the plane of the moving one"
        fix = "set `plan.alignment` to `centre`, or give slices from the same location"
        raise DataError(Fault(SUBJECT, message, fix))
    tilt = float(np.abs(heights - middle).max())
    if tilt > TILT * thickness:
        message = (
            f"the fixed slice reaches {tilt:.4g} mm out of the plane of the moving one, which is "
            f"{thickness:.4g} mm thick"
        )
        fix = "give slices of one orientation, or an initial transform between them"
        raise DataError(Fault(SUBJECT, message, fix))
    result: Matrix = geometry.translation(-middle * normal) @ placed
    return result


def _placed(rule: AlignmentRule, moving: Volume, fixed: Volume, transform: Path | None) -> Matrix:
    if rule == "header":
        return np.eye(4)
    if rule == "centre":
        return geometry.translation(_middle(moving) - _middle(fixed))
    if rule == "mass":
        return geometry.translation(
            centre_of_mass_mm(moving, "moving") - centre_of_mass_mm(fixed, "fixed")
        )
    if transform is None:
        message = "is `file` but the pair has no initial_transform"
        raise DataError(Fault("plan.alignment", message, "name one in the manifest"))
    return itk_transforms.read_alignment(transform)


def centre_of_mass_mm(volume: Volume, name: str) -> Place:
    """The mean position of an image's voxels in RAS mm, each weighted by its intensity.

    Weights are intensities above the channel's minimum, so that air weighs nothing even where its
    values are negative (CT); the weights of several channels are added. Computed in float64, so
    that the image's storage type does not change any significant digit.

    Args:
        volume: the image.
        name: of the image, for error messages.

    Raises:
        DataError: the image is constant and therefore has no centre of mass.
    """
    if all(channel.min() == channel.max() for channel in volume.array):
        message = "is constant and has no centre of mass"
        raise DataError(Fault(f"the {name} image", message, "choose another `plan.alignment`"))
    sums = [_weights(volume, axis) for axis in range(3)]
    voxel = [float(along @ np.arange(len(along)) / along.sum()) for along in sums]
    centre: Place = geometry.apply(volume.affine, np.array([voxel]))[0]
    return centre


def coarse_centre_of_mass_mm(volume: Volume) -> tuple[float, float, float] | None:
    """The centre of mass from at most 64 voxels along each axis; None if these are constant."""
    steps = [math.ceil(size / COARSE) for size in _shape(volume)]
    starts = [step // 2 for step in steps]
    local = np.diag([*map(float, steps), 1.0])
    local[:3, 3] = starts
    window = tuple(slice(start, None, step) for start, step in zip(starts, steps, strict=True))
    coarse = Volume(
        np.ascontiguousarray(volume.array[(slice(None), *window)]), volume.affine @ local
    )
    if all(channel.min() == channel.max() for channel in coarse.array):
        return None
    x, y, z = centre_of_mass_mm(coarse, "sampled")
    return float(x), float(y), float(z)


def _weights(volume: Volume, axis: int) -> Float[np.ndarray, "n"]:
    """The weight of each plane of voxels perpendicular to an axis."""
    summed_axes = tuple(index for index in range(3) if index != axis)
    weights = np.zeros(volume.array.shape[1 + axis])
    for channel in volume.array:
        floor = float(channel.min()) * (channel.size / len(weights))
        weights += channel.sum(axis=summed_axes, dtype=np.float64) - floor
    return weights


def _shape(volume: Volume) -> tuple[int, int, int]:
    _, x, y, z = volume.array.shape
    return x, y, z


def _middle(volume: Volume) -> Place:
    return np.array(geometry.centre_mm(volume.affine, volume.array.shape[1:]))
