"""Smooth, invertible maps from fixed (ultrasound) to moving (MR) points, known in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from tenter.phantoms.anatomy import Triple
from tenter.shapes import Matrix, PointsMm
from tenter.spatial import geometry
from tenter.spatial.transform import Transform

SLOPE = float(np.exp(-0.5))
"""A Gaussian of height 1 and width 1 is nowhere steeper than this."""

STEEPEST = 0.7
"""Bound on the slope of all bumps together; below 1 they contract, so the map is invertible."""


@dataclass(frozen=True)
class Deformation:
    """phi(x) = affine · (x + sum_k amplitudes_k exp(-|x - centres_k|² / (2 widths_k²))), in RAS mm.

    Attributes:
        affine: fixed to moving points.
        centres: centres of the bumps, fixed points in mm.
        amplitudes: displacement at each centre in mm.
        widths: standard deviation of each bump in mm.
    """

    affine: Matrix
    centres: Float[np.ndarray, "k 3"]
    amplitudes: Float[np.ndarray, "k 3"]
    widths: Float[np.ndarray, "k"]

    def bumps(self, points: PointsMm) -> PointsMm:
        """Displacement by the bumps alone in mm, at fixed points in mm."""
        total: PointsMm = np.zeros_like(points)
        for centre, amplitude, width in zip(
            self.centres, self.amplitudes, self.widths, strict=True
        ):
            squared = np.square(points - centre).sum(axis=1)
            total += np.exp(-squared / (2 * width**2))[:, None] * amplitude
        return total

    def map_points(self, points: PointsMm) -> PointsMm:
        """Moving points in mm that fixed points in mm correspond to."""
        return geometry.apply(self.affine, points + self.bumps(points))

    def inverse_points(self, points: PointsMm) -> PointsMm:
        """Fixed points in mm that moving points in mm correspond to, by fixed-point iteration.

        The error shrinks at least by `STEEPEST` a step: 80 steps leave less than 1e-10 mm.
        """
        target = geometry.apply(np.linalg.inv(self.affine), points)
        estimate = target
        for _ in range(80):
            estimate = target - self.bumps(estimate)
        return estimate

    def sampled(self, lower: Triple, upper: Triple, step_mm: float) -> Transform:
        """The same map with its bumps sampled on a grid that covers a box of fixed points.

        Args:
            lower: least corner of the box in mm.
            upper: greatest corner of the box in mm.
            step_mm: largest voxel size of the grid.
        """
        shape = np.ceil((upper - lower) / step_mm).astype(int) + 1
        step = (upper - lower) / (shape - 1)
        grid = np.diag([*step, 1.0])
        grid[:3, 3] = lower
        points = geometry.apply(grid, np.indices(shape, dtype=np.float64).reshape(3, -1).T)
        field = (self.bumps(points) / step).T.reshape(1, 3, *shape)
        return Transform(self.affine, torch.from_numpy(np.ascontiguousarray(field)), grid)


def draw(rng: np.random.Generator, fixed_centre: Triple, moving_centre: Triple) -> Deformation:
    """Draw a deformation that maps one gland's centre close to the other's.

    A rotation of some degrees and a scaling of some per cent, then one bump from behind (the
    pressure of a probe in the rectum) and three anywhere about the gland.

    Args:
        rng: source of random numbers.
        fixed_centre: centre of the gland's surroundings in the fixed image, mm.
        moving_centre: centre of the gland in the moving image, mm.
    """
    linear = Rotation.from_rotvec(rng.normal(0, 0.1, 3)).as_matrix() * rng.uniform(0.95, 1.05, 3)
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = moving_centre - linear @ fixed_centre
    behind = np.array([rng.normal(0, 6), -18.0, rng.normal(0, 6)])
    push = np.array([rng.normal(0, 1), -rng.uniform(2, 8), rng.normal(0, 1)])
    around = rng.uniform([-24, -16, -20], [24, 20, 20], (3, 3))
    pulls = rng.normal(size=(3, 3))
    pulls *= rng.uniform(2, 6, (3, 1)) / np.linalg.norm(pulls, axis=1, keepdims=True)
    amplitudes = np.vstack([push, pulls])
    widths = rng.uniform(13, 20, 4)
    steepness = SLOPE * float((np.linalg.norm(amplitudes, axis=1) / widths).sum())
    amplitudes *= min(1.0, STEEPEST / steepness)
    return Deformation(affine, fixed_centre + np.vstack([behind, around]), amplitudes, widths)
