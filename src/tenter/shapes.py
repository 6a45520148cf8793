"""The words for tensors. One name for each thing that travels; `*space` is x y z (or x y).

Axes of space are the plan's grid: first axis towards R, second towards A, third towards S.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

Image = Float[Tensor, "b c *space"]
"""Intensities, one or more channels."""

Labels = Float[Tensor, "b l *space"]
"""Soft segmentations in [0, 1], one channel a label."""

Field = Float[Tensor, "b d *space"]
"""Displacement in voxels of the grid, fixed to moving: warped(p) = moving(p + u(p))."""

Scalars = Float[Tensor, "b *space"]
"""One number a voxel, such as a Jacobian determinant."""

Points = Float[Tensor, "n d"]
"""Points, in the unit and frame that the function says."""

Affine = Float[Tensor, "b r c"]
"""Homogeneous matrices that map column vectors, r = c = d + 1."""

Scalar = Float[Tensor, ""]
"""A loss."""

PerSample = Float[Tensor, "b"]
"""One number a sample."""

Matrix = Float[np.ndarray, "4 4"]
"""Homogeneous float64 matrix: voxel to RAS mm (an image's affine) or RAS mm to RAS mm."""

PointsMm = Float[np.ndarray, "n 3"]
"""Points in RAS mm."""

Mask = Bool[np.ndarray, "x y z"]
"""One label as it is measured."""
