"""Gradient energy: first derivatives of the displacement."""

from __future__ import annotations

from collections.abc import Sequence

from tenter.losses import stencils
from tenter.tensors import Field, Scalar


def gradient(field: Field, spacing: Sequence[float], norm: stencils.Norm = "l2") -> Scalar:
    """Mean over interior voxels and components of u_x^2 + u_y^2 + u_z^2, or of absolute values.

    Central differences as in label-reg (Hu et al., 2018); one voxel at each border is left
    out. Constant fields cost nothing.

    Args:
        field: `[b, d, *space]` in voxels.
        spacing: voxel size along each axis. In mm the displacement is taken in mm, so the
            energy has no unit; all ones give label-reg's.
        norm: `l2` squares, `l1` takes absolute values.

    Raises:
        TrainingError: fewer than 3 voxels along an axis.
    """
    terms = [(1.0, stencils.first_difference(axis, spacing)) for axis in range(len(spacing))]
    return stencils.mean_energy(field, spacing, terms, margin=1, norm=norm)
