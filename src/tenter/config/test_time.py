"""Configuration of test-time options: further ways to register with trained models.

A part called `x` is implemented in `registration/x.py`; provenance relies on this to find the
modules behind a registration. No part has access to labels.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from tenter.config.cohort import Positive
from tenter.config.losses import BendingLoss, Energy, ImageTerm, Losses, MindLoss
from tenter.config.pose import Pose
from tenter.config.section import Section
from tenter.errors import InvalidValueError

BOTH_WAYS = "inverse_consistency"


class Poses(Pose):
    """Test-time augmentation: registers a pair several times under random affine maps.

    Each image has its own map; the predictions are mapped back and averaged, together with that for
    the original pair. The draws are the same for every pair and every member of an ensemble.
    """

    count: Annotated[int, Field(ge=1, le=100)] = 8
    """Number of additional registrations of the pair."""

    @model_validator(mode="after")
    def _something_moves(self) -> Poses:
        if not (self.rotation_deg or self.scale or self.shear or self.translation_mm):
            message = "`poses` would register the same pair again"
            fix = "give a `rotation_deg`, `scale`, `shear` or `translation_mm` above 0"
            raise InvalidValueError(message, fix)
        return self


class Refine(Section):
    """Optimises each pair further, starting from the network's field and using the images only.

    A cubic B-spline displacement, initially zero, is applied before the network's map. The result
    with the lowest loss is kept; if the loss becomes NaN, the network's own field is kept.
    """

    steps: Annotated[int, Field(ge=1, le=100_000)] = 50
    """Number of steps of Adam."""
    learning_rate: Positive = 0.1
    """Adam's step size: roughly the mm that a control point moves in a step."""
    spacing_mm: Positive = 24.0
    """Distance between control points in mm."""
    images: Annotated[tuple[ImageTerm, ...], Field(min_length=1)] = (MindLoss(),)
    """Loss terms that compare the warped moving image with the fixed image."""
    regularisers: tuple[Energy, ...] = (BendingLoss(),)
    """Loss terms of the whole deformation, as in training.

    Without `inverse_consistency`, which needs a network."""

    @field_validator("regularisers", mode="before")
    @classmethod
    def _one_way(cls, terms: Any) -> Any:  # noqa: ANN401 - any YAML value
        listed = terms if isinstance(terms, list) else []
        if any(isinstance(term, dict) and term.get("name") == BOTH_WAYS for term in listed):
            message = f"{BOTH_WAYS} needs a network, and refinement has none"
            raise InvalidValueError(message, "leave it out")
        return terms

    @model_validator(mode="after")
    def _something_aligns(self) -> Refine:
        if not any(term.weight for term in self.images):
            message = "nothing aligns the images"
            raise InvalidValueError(message, "give at least one term of `images` a weight above 0")
        return self

    @property
    def losses(self) -> Losses:
        """The same terms as losses of a training."""
        return Losses(labels=(), images=self.images, regularisers=self.regularisers)


class TestTime(Section):
    """A further way to register with a trained model; the parts are combined in this order."""

    ensemble: bool = False
    """Whether to average the fields of the models of all `seeds`, instead of using the first."""
    poses: Poses | None = None
    """Averaging over several poses of the pair; default: none."""
    refine: Refine | None = None
    """Optimisation for each pair; default: none."""

    @model_validator(mode="after")
    def _something_is_done(self) -> TestTime:
        if not self.ensemble and self.poses is None and self.refine is None:
            message = "does nothing"
            raise InvalidValueError(message, "give `ensemble: true`, `poses` or `refine`")
        return self
