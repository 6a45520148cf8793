"""Configuration of test-time options: further ways to register by models that are trained already.

What a part called `x` does lives in `registration/x.py`; provenance relies on it to tell which
modules a registration reads. None of it can reach a label.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from tenter.config.cohort import Positive
from tenter.config.losses import (
    BendingLoss,
    FoldingLoss,
    GradientLoss,
    ImageTerm,
    Losses,
    MindLoss,
)
from tenter.config.pose import Pose
from tenter.config.section import Section

BOTH_WAYS = "inverse_consistency"

Energy = Annotated[BendingLoss | GradientLoss | FoldingLoss, Field(discriminator="name")]


class Poses(Pose):
    """The pair again under random affine maps, each image under its own; answers are mapped back, averaged.

    The plain answer is one of them. Draws are the same for every pair and every member.
    """

    count: Annotated[int, Field(ge=1, le=100)] = 8
    """Further registrations of the pair."""

    @model_validator(mode="after")
    def _something_moves(self) -> Poses:
        if not (self.rotation_deg or self.scale or self.shear or self.translation_mm):
            message = (
                "`poses` would show the same pair again; "
                "give a `rotation_deg`, `scale`, `shear` or `translation_mm` above 0"
            )
            raise ValueError(message)
        return self


class Refine(Section):
    """Each pair's own optimisation, from the network's field on; of images alone.

    A displacement by cubic B-splines, zero at first, precedes the network's map. The iterate of least loss
    is kept; where the loss is no number, the network's field is.
    """

    steps: Annotated[int, Field(ge=1, le=100_000)] = 50
    """Steps of Adam."""
    learning_rate: Positive = 0.1
    """Adam's step size: mm that a control point moves a step, about."""
    spacing_mm: Positive = 24.0
    """Distance of control points in mm."""
    images: Annotated[tuple[ImageTerm, ...], Field(min_length=1)] = (MindLoss(),)
    """Terms of the moving image, warped, and the fixed image."""
    regularisers: tuple[Energy, ...] = (BendingLoss(),)
    """Terms of the whole deformation, as in training; `inverse_consistency` needs a network in the loop."""

    @field_validator("regularisers", mode="before")
    @classmethod
    def _one_way(cls, terms: Any) -> Any:  # noqa: ANN401 - any YAML value
        given = terms if isinstance(terms, list) else []
        if any(isinstance(term, dict) and term.get("name") == BOTH_WAYS for term in given):
            message = f"{BOTH_WAYS} needs a network, and refinement has none; leave it out"
            raise ValueError(message)
        return terms

    @model_validator(mode="after")
    def _something_aligns(self) -> Refine:
        if not any(term.weight for term in self.images):
            message = "nothing aligns the images; give at least one term of `images` a weight above 0"
            raise ValueError(message)
        return self

    @property
    def losses(self) -> Losses:
        """The same terms as a training's losses."""
        return Losses(labels=(), images=self.images, regularisers=self.regularisers)


class TestTime(Section):
    """One way to register by a trained model; its parts combine in this order."""

    ensemble: bool = False
    """Whether the models of all `seeds` answer together, their fields averaged; else the first seed's."""
    poses: Poses | None = None
    """Answers for the pair under several poses, averaged; default: for the pair as it is alone."""
    refine: Refine | None = None
    """Optimisation of each pair; default: none."""

    @model_validator(mode="after")
    def _something_is_done(self) -> TestTime:
        if not self.ensemble and self.poses is None and self.refine is None:
            message = "does nothing; give `ensemble: true`, `poses` or `refine`"
            raise ValueError(message)
        return self
