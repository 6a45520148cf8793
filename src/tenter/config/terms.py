"""What the settings of every loss share, and the settings of losses of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from tenter.config.cohort import NotNegative
from tenter.config.custom import NamedCode
from tenter.config.section import Section
from tenter.errors import InvalidValueError

Scales = Annotated[tuple[NotNegative, ...], Field(min_length=1)]

TYPICAL_SECONDS = 0.25e-6
"""Seconds per voxel that are expected of custom code."""

SCALES = 6
"""Number of scales of a label loss to which its cost applies."""


def without_default(values: Any, key: str) -> Any:  # noqa: ANN401 - any YAML value
    """Remove the default in mm where a length in voxels is given."""
    millimetres, voxels = f"{key}_mm", f"{key}_voxel"
    if isinstance(values, dict) and values.get(voxels) is not None and millimetres not in values:
        return {**values, millimetres: None}
    return values


def require_one(key: str, millimetres: object, voxels: object) -> None:
    """Refuse a length that is given both in mm and in voxels, or not at all.

    Raises:
        InvalidValueError: with what is wrong and how to fix it.
    """
    if (millimetres is None) == (voxels is None):
        message = f"needs one of {key}_mm and {key}_voxel"
        raise InvalidValueError(message, "give one, and leave the other out")


class Term(Section):
    """Base class of the settings of a loss.

    Attributes:
        room: package of the modules of losses.
        costs: seconds per voxel of a pair on one core, by name; of label terms, for each label.
        compares: whether it needs equally many channels in both images.
        two_way: whether it needs the field of the exchanged images, too.
    """

    room: ClassVar[str] = "losses"
    costs: ClassVar[Mapping[str, float]]
    compares: ClassVar[bool] = False
    two_way: ClassVar[bool] = False

    name: str
    if TYPE_CHECKING:
        weight: float

    @property
    def title(self) -> str:
        """Its name in tables and plots."""
        return self.name

    @property
    def seconds(self) -> float:
        """Seconds per voxel of a pair on one core; of a label term, for each label."""
        return self.costs[self.name]


class CustomTerm(NamedCode):
    """A loss of your own: a function in a Python file or in an installed package.

    See docs/how-to/your-own-code.md.
    """

    @property
    def title(self) -> str:
        """Its name in tables and plots."""
        return self.reference.name

    @property
    def seconds(self) -> float:
        """A typical cost: that of custom code is unknown."""
        return TYPICAL_SECONDS


class RoleWeights(Section):
    """Factors of a label's loss by its role; the mean is over labels with a non-zero factor."""

    structure: NotNegative = 1.0
    """Factor for structures."""
    landmark: NotNegative = 1.0
    """Factor for landmarks."""


class LabelTermSettings(Term):
    """Base class of the settings of losses that compare labels."""

    if TYPE_CHECKING:
        role_weights: RoleWeights


class SmoothedLabelLoss(LabelTermSettings):
    """Common settings of losses that are averaged over several scales of smoothing."""

    scales_mm: Scales | None
    scales_voxel: Scales | None
    kernel: Literal["gaussian", "cauchy"]

    @model_validator(mode="before")
    @classmethod
    def _voxels_instead(cls, values: Any) -> Any:  # noqa: ANN401 - any YAML value
        return without_default(values, "scales")

    @model_validator(mode="after")
    def _one_unit(self) -> SmoothedLabelLoss:
        require_one("scales", self.scales_mm, self.scales_voxel)
        return self

    @property
    def seconds(self) -> float:
        """Seconds per voxel of a pair and label on one core, at all of its scales."""
        return super().seconds * len(self.scales_mm or self.scales_voxel or ()) / SCALES


class ImageTermSettings(Term):
    """Base class of the settings of losses that compare images."""

    compares = True


class RegulariserSettings(Term):
    """Base class of the settings of losses of the deformation."""


class CustomLabelLoss(CustomTerm, SmoothedLabelLoss):
    """A label loss of your own: a function in a Python file or in an installed package.

    See docs/how-to/your-own-code.md.
    """

    weight: NotNegative = 1.0
    """Factor in the total loss."""
    scales_mm: Scales | None = (0.0,)
    """Widths in mm of the kernels that smooth both labels; 0: no smoothing."""
    scales_voxel: Scales | None = None
    """The same in voxels of the grid, instead of `scales_mm`."""
    kernel: Literal["gaussian", "cauchy"] = "gaussian"
    """Shape of the smoothing kernel."""
    role_weights: RoleWeights = RoleWeights()
    """Factors by the role of a label."""


class CustomImageLoss(CustomTerm, ImageTermSettings):
    """An image loss of your own: a function in a Python file or in an installed package.

    See docs/how-to/your-own-code.md.
    """

    weight: NotNegative = 1.0
    """Factor in the total loss."""


class CustomRegulariser(CustomTerm, RegulariserSettings):
    """A regulariser of your own: a function in a Python file or in an installed package.

    See docs/how-to/your-own-code.md.
    """

    weight: NotNegative = 1.0
    """Factor in the total loss."""
