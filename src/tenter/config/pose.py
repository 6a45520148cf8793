"""Configuration of random affine maps, for augmentation and for test-time poses."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tenter.config.cohort import NotNegative
from tenter.config.section import Section


class Pose(Section):
    """A random affine map in mm about the centre of the grid.

    Applied in the order shear, scaling, rotation, translation.
    """

    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Largest angle in degrees; the rotation axis has a random direction."""
    scale: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Largest change of scale s: the factor along each axis lies between 1 / (1 + s) and 1 + s."""
    shear: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Largest shear of each pair of axes, in mm per mm."""
    translation_mm: NotNegative = 0.0
    """Largest translation along each axis in mm."""
