"""Folding penalty: Jacobian determinants below a margin."""

from __future__ import annotations

from typing import Literal

from tenter.errors import TrainingError
from tenter.records import Fault
from tenter.spatial import jacobian
from tenter.tensors import Field, Scalar


def folding(field: Field, *, margin: float = 0.0, norm: Literal["l1", "l2"] = "l1") -> Scalar:
    """Mean over interior voxels of max(0, margin - J), or of its square.

    J is the determinant of the gradient of x + u(x) by central differences, as in the evaluation;
    it is the same in mm as in voxels. After Mok and Chung, Fast symmetric diffeomorphic image
    registration with convolutional neural networks, CVPR 2020, who use no margin.

    Args:
        field: `[b, d, *space]` in voxels.
        margin: values of J below it are penalised.
        norm: `l1`, or `l2` for the square.

    Raises:
        TrainingError: fewer than 3 voxels along an axis.
    """
    if min(field.shape[2:]) < 3:
        size = " x ".join(map(str, field.shape[2:]))
        message = (
            f"a grid of {size} voxels is too small for the Jacobian, which needs 3 along each axis"
        )
        fix = "set a larger plan.shape or a smaller plan.spacing_mm"
        raise TrainingError(Fault("losses.regularisers", message, fix))
    below = (margin - jacobian.determinant(field)).relu()
    return (below if norm == "l1" else below.square()).mean()
