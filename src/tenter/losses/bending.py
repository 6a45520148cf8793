"""Bending energy: squared second derivatives of the displacement."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from tenter.losses import stencils
from tenter.tensors import Field, Scalar


def bending(field: Field, spacing: Sequence[float]) -> Scalar:
    """Mean squared second derivatives of the displacement.

    The mean over interior voxels and components of
    u_xx^2 + u_yy^2 + u_zz^2 + 2 (u_xy^2 + u_xz^2 + u_yz^2). Rueckert et al., IEEE TMI 18 (1999);
    discretised as in label-reg (Hu et al., 2018): each derivative is the central difference taken
    twice, two voxels at each border are left out. Affine fields have no bending energy.

    Args:
        field: `[b, d, *space]` in voxels.
        spacing: voxel size along each axis. In mm the displacement is taken in mm and the energy
            is per mm^2; all ones give label-reg's, in voxels.

    Raises:
        TrainingError: fewer than 5 voxels along an axis.
    """
    slopes = [stencils.first_difference(axis, spacing) for axis in range(len(spacing))]
    terms = [
        (1.0 if first is second else 2.0, stencils.product(first, second))
        for first, second in itertools.combinations_with_replacement(slopes, 2)
    ]
    return stencils.mean_energy(field, spacing, terms, margin=2, norm="l2")
