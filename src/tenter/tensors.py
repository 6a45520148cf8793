"""Shapes of tensors, one name for each kind; `*space` is x y z (or x y).

The spatial axes are those of the plan's grid: first towards R, second towards A, third towards S.
Arrays are in `shapes`, so that a stage which computes without torch does not load it.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

Image = Float[Tensor, "b c *space"]
"""Intensities, one or more channels."""

Labels = Float[Tensor, "b l *space"]
"""Soft segmentations in [0, 1], one channel for each label."""

Field = Float[Tensor, "b d *space"]
"""Displacement u in voxels of the grid, fixed to moving: warped(p) = moving(p + u(p))."""

Scalars = Float[Tensor, "b *space"]
"""One number for each voxel, such as a Jacobian determinant."""

Points = Float[Tensor, "n d"]
"""Points, in the unit and frame stated by the function."""

Affine = Float[Tensor, "b r c"]
"""Homogeneous matrices that map column vectors, r = c = d + 1."""

Scalar = Float[Tensor, ""]
"""A loss."""

PerSample = Float[Tensor, "b"]
"""One number for each sample."""
