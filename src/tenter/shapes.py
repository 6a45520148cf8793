"""Shapes of NumPy arrays, one name for each kind; those of tensors are in `tensors`."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

Matrix = Float[np.ndarray, "4 4"]
"""Homogeneous float64 matrix: voxel to RAS mm (an image's affine) or RAS mm to RAS mm."""

PointsMm = Float[np.ndarray, "n 3"]
"""Points in RAS mm."""

Mask = Bool[np.ndarray, "x y z"]
"""Binary mask of one label, for measurement."""
