"""Configuration of random affine maps: of augmented training data, and of pairs registered several times."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tenter.config.cohort import NotNegative
from tenter.config.section import Section


class Pose(Section):
    """A random affine map in mm about the grid's centre: a rotation of a scaling of a shear, and a shift."""

    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Largest angle in degrees, about an axis of any direction."""
    scale: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Largest change of scale s: a factor between 1 / (1 + s) and 1 + s along each axis."""
    shear: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Largest shear of each pair of axes, in mm a mm."""
    translation_mm: NotNegative = 0.0
    """Largest shift along each axis in mm."""
