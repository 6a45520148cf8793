"""The augmentation drawn for one side of a batch: deformations and intensity changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from tenter.config import Appearance, Augmentation, Pose
from tenter.sampling.augmentation.random_streams import Source, Stream
from tenter.spatial import bspline, slices


@dataclass(frozen=True, slots=True, eq=False)
class Lattice:
    """Control values of a cubic B-spline.

    Attributes:
        values: `[b, c, x, y, z]`.
        spacing: distance of control points along each axis, voxels.
    """

    values: Float[np.ndarray, "b c x y z"]
    spacing: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Change:
    """Augmentation parameters of one side of b samples with c channels; None: not changed.

    Attributes:
        corners: `[b, 4, 3]` inward moves of the cube's corners in half-widths; for a slice
            `[b, 3, 2]`, of the square's corners.
        pose: `[b, 4, 4]` affine maps in normalised coordinates, applied before the corners' map.
        controls: displacement in voxels, applied before both.
        blur: `[b, c, 3]` standard deviations along each axis, voxels.
        bias: logarithm of a factor.
        gamma: `[b, c]` exponents.
        gain: `[b, c]` factors.
        offset: `[b, c]` summands.
        noise: `[b, c]` standard deviations.
        noise_seeds: for each sample, of the generator that makes its noise on the image's device.
    """

    corners: Float[np.ndarray, "b k d"] | None = None
    pose: Float[np.ndarray, "b 4 4"] | None = None
    controls: Lattice | None = None
    blur: Float[np.ndarray, "b c 3"] | None = None
    bias: Lattice | None = None
    gamma: Float[np.ndarray, "b c"] | None = None
    gain: Float[np.ndarray, "b c"] | None = None
    offset: Float[np.ndarray, "b c"] | None = None
    noise: Float[np.ndarray, "b c"] | None = None
    noise_seeds: tuple[int, ...] = ()

    def of(self, samples: Sequence[int]) -> Change:
        """The change restricted to some samples, in the given order."""
        chosen: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            match value:
                case np.ndarray():
                    chosen[field.name] = value[list(samples)]
                case Lattice():
                    chosen[field.name] = Lattice(value.values[list(samples)], value.spacing)
                case tuple() if value:
                    chosen[field.name] = tuple(value[sample] for sample in samples)
        return replace(self, **chosen)


@dataclass(frozen=True, slots=True)
class Ground:
    """The batch and grid that numbers are drawn for.

    Attributes:
        batch: samples.
        channels: of the moving and of the fixed image.
        shape: voxels of the grid.
        spacing_mm: voxel size of the grid.
    """

    batch: int
    channels: tuple[int, int]
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]

    @property
    def normal(self) -> int | None:
        """The axis perpendicular to a grid of one slice, or None."""
        return slices.normal(self.shape)

    def lattice(
        self, channels: int, spacing_mm: float
    ) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Shape of a batch of control lattices, and their spacing in voxels."""
        spacing = tuple(spacing_mm / size for size in self.spacing_mm)
        return (self.batch, channels, *bspline.lattice(self.shape, spacing)), spacing

    def drawn(
        self, source: Source, shape: tuple[int, ...], stream: Stream, *position: int
    ) -> Float[np.ndarray, "b c x y z"]:
        """Numbers in (-1, 1) for a batch of control lattices; constant along a slice's normal."""
        if self.normal is None:
            return source.symmetric(shape, stream, *position)
        axis = 2 + self.normal
        layer = source.symmetric((*shape[:axis], 1, *shape[axis + 1 :]), stream, *position)
        return np.repeat(layer, shape[axis], axis=axis)


def draw_changes(
    source: Source, augmentation: Augmentation, ground: Ground, step: int
) -> tuple[Change, Change]:
    """Draw the changes of both sides independently, moving side first.

    Args:
        source: of the training.
        augmentation: kinds and bounds of the changes.
        ground: the batch and its grid.
        step: from 0.

    Returns:
        The changes; equal for equal arguments, each kind independent of the other kinds. On a
        grid of one slice all maps and deformations stay in its plane.
    """
    corners = None
    if augmentation.affine:
        size = 3 if ground.normal is None else 2
        shape = (2, ground.batch, size + 1, size)
        corners = augmentation.affine * source.uniform(shape, Stream.CORNERS, step)
    sides = []
    for side, chosen in enumerate((augmentation.intensity.moving, augmentation.intensity.fixed)):
        deformed = _deformed(source, augmentation, ground, (step, side))
        intensity = {} if chosen is None else _intensity(source, chosen, ground, (step, side))
        sides.append(
            Change(corners=None if corners is None else corners[side], **deformed, **intensity)
        )
    return sides[0], sides[1]


def _deformed(
    source: Source, augmentation: Augmentation, ground: Ground, position: tuple[int, int]
) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    if augmentation.pose is not None:
        chances = source.uniform((ground.batch, 12), Stream.POSE, *position)
        drawn["pose"] = poses(chances, augmentation.pose, ground.shape, ground.spacing_mm)
    if augmentation.deformation is not None:
        shape, spacing = ground.lattice(3, augmentation.deformation.spacing_mm)
        voxels = augmentation.deformation.amplitude_mm / np.array(ground.spacing_mm).reshape(
            3, 1, 1, 1
        )
        if ground.normal is not None:
            voxels[ground.normal] = 0
        drawn["controls"] = Lattice(
            voxels * ground.drawn(source, shape, Stream.CONTROLS, *position), spacing
        )
    return drawn


def poses(
    chances: Float[np.ndarray, "b 12"],
    pose: Pose,
    shape: Sequence[int],
    spacing_mm: Sequence[float],
) -> Float[np.ndarray, "b 4 4"]:
    """Random affine maps about the grid's centre: shear, then scaling, rotation and translation.

    On a grid of one slice they stay in its plane: rotations are about its normal, in both
    directions, and nothing is scaled, sheared or shifted along it.

    Args:
        chances: numbers in (0, 1): axis (2) and angle of the rotation, scales (3), shears (3),
            shift (3).
        pose: bounds.
        shape: voxels along each axis.
        spacing_mm: voxel size along each axis.

    Returns:
        `[b, 4, 4]` homogeneous, in the grid's normalised coordinates.
    """
    signed = 2 * chances - 1
    height, longitude = signed[:, 0], np.pi * signed[:, 1]
    width = np.sqrt(1 - height**2)
    axes = np.stack([width * np.cos(longitude), width * np.sin(longitude), height], axis=1)
    turns = np.deg2rad(pose.rotation_deg) * chances[:, 2:3] * axes
    scales = np.exp(np.log1p(pose.scale) * signed[:, 3:6])
    shears = np.tile(np.eye(3), (len(chances), 1, 1))
    shears[:, [0, 0, 1], [1, 2, 2]] = pose.shear * signed[:, 6:9]
    shifts = pose.translation_mm * signed[:, 9:12]
    normal = slices.normal(shape)
    if normal is not None:
        turns = np.deg2rad(pose.rotation_deg) * signed[:, 2:3] * np.eye(3)[normal]
    half = np.maximum(np.array(shape) - 1, 1) / 2 * np.array(spacing_mm)
    linear = Rotation.from_rotvec(turns).as_matrix() @ (scales[:, :, None] * shears)
    if normal is not None:
        linear[:, normal] = linear[:, :, normal] = np.eye(3)[normal]
        shifts[:, normal] = 0
    result = np.tile(np.eye(4), (len(chances), 1, 1))
    result[:, :3, :3] = linear * half / half[:, None]
    result[:, :3, 3] = shifts / half
    return result


def _intensity(
    source: Source, chosen: Appearance, ground: Ground, position: tuple[int, int]
) -> dict[str, Any]:
    channels = ground.channels[position[1]]
    shape = (ground.batch, channels)
    drawn: dict[str, Any] = {}
    if chosen.blur_mm:
        widths = chosen.blur_mm * source.uniform((*shape, 1), Stream.BLUR, *position)
        drawn["blur"] = widths / np.array(ground.spacing_mm)
    if chosen.bias is not None:
        lattice, spacing = ground.lattice(channels, chosen.bias.spacing_mm)
        values = np.log1p(chosen.bias.amplitude) * ground.drawn(
            source, lattice, Stream.BIAS, *position
        )
        drawn["bias"] = Lattice(values, spacing)
    if chosen.gamma:
        drawn["gamma"] = np.exp(
            np.log1p(chosen.gamma) * source.symmetric(shape, Stream.GAMMA, *position)
        )
    if chosen.gain:
        drawn["gain"] = np.exp(
            np.log1p(chosen.gain) * source.symmetric(shape, Stream.GAIN, *position)
        )
    if chosen.offset:
        drawn["offset"] = chosen.offset * source.symmetric(shape, Stream.OFFSET, *position)
    if chosen.noise:
        drawn["noise"] = chosen.noise * source.uniform(shape, Stream.NOISE, *position)
        seeds = source.uniform((ground.batch,), Stream.NOISE_SEED, *position) * 2**53
        drawn["noise_seeds"] = tuple(int(seed) for seed in seeds)
    return drawn
