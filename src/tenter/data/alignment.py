"""Where a fixed point lies in the moving image before any network, by the plan's rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from tenter.data import transforms
from tenter.data.volumes import Volume
from tenter.errors import DataError
from tenter.records import AlignmentRule
from tenter.shapes import Matrix
from tenter.spatial import geometry

Place = Float[np.ndarray, "3"]


def align(rule: AlignmentRule, moving: Volume, fixed: Volume, transform: Path | None = None) -> Matrix:
    """The alignment of a pair, RAS mm to RAS mm: a fixed point to the moving point that lies on it.

    Args:
        rule: `header` (the same place), `centre` (middle of the volume on middle of the volume),
            `mass` (centre of mass on centre of mass) or `file`.
        moving: the moving image.
        fixed: the fixed image.
        transform: for `file`: a transform that ITK reads, linear or a composite of linear ones, which
            maps fixed to moving points.

    Raises:
        DataError: `file` without a transform, or one that cannot be used; `mass` of a constant image.
    """
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


def _weights(volume: Volume, axis: int) -> Float[np.ndarray, "n"]:
    """What each plane of voxels across an axis weighs."""
    others = tuple(other for other in range(3) if other != axis)
    found = np.zeros(volume.array.shape[1 + axis])
    for channel in volume.array:
        floor = float(channel.min()) * (channel.size / len(found))
        found += channel.sum(axis=others, dtype=np.float64) - floor
    return found


def _middle(volume: Volume) -> Place:
    return np.array(geometry.centre_mm(volume.affine, volume.array.shape[1:]))
