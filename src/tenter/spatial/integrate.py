"""From a stationary velocity field to the displacement of its flow."""

from __future__ import annotations

from tenter.spatial import compose
from tenter.tensors import Field


def integrate(velocity: Field, steps: int = 7) -> Field:
    """Displacement after unit time, by scaling and squaring.

    Arsigny et al., A log-Euclidean framework for statistics on diffeomorphisms, MICCAI 2006.

    Args:
        velocity: `[b, d, *space]`, voxels per unit time.
        steps: squarings; the first step is 2^-steps of the time.

    Returns:
        `[b, d, *space]`, voxels.
    """
    displacement: Field = velocity / 2.0**steps
    for _ in range(steps):
        displacement = compose.compose(displacement, displacement)
    return displacement
