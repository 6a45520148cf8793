"""Configuration of losses: the terms whose weighted sum training minimises.

A loss called `x` is the function `x` of `losses/x.py`. Its settings are a class below, which is all
that has to be written besides: the union of losses, the call of the function, the code that a
training reads and the forecast of its time follow from it. A length carries its unit in its key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from tenter.config.alternatives import union
from tenter.config.cohort import NotNegative, Positive
from tenter.config.section import Section
from tenter.config.terms import (
    CustomImageLoss,
    CustomLabelLoss,
    CustomRegulariser,
    ImageTermSettings,
    LabelTermSettings,
    RegulariserSettings,
    RoleWeights,
    Scales,
    SmoothedLabelLoss,
    require_one,
    without_default,
)
from tenter.errors import InvalidValueError

Units = Literal["mm", "voxel"]
REFERENCE_MM = 3.0
"""Voxel size at which the default bending weights in mm and in voxels are equivalent."""


class LandmarkWeights(RoleWeights):
    """Factors of a label's loss by its role; structures are ignored by default."""

    structure: NotNegative = 0.0
    """Factor for structures."""


class LabelLoss(SmoothedLabelLoss):
    """Voxel-wise dissimilarity of two labels, averaged over several scales of smoothing."""

    costs: ClassVar = {
        "dice": 0.06e-6,
        "generalised_dice": 0.06e-6,
        "jaccard": 0.12e-6,
        "cross_entropy": 0.2e-6,
        "mean_squared": 0.12e-6,
    }

    name: Literal["dice", "generalised_dice", "jaccard", "cross_entropy", "mean_squared"] = "dice"
    """The measure at each scale."""
    weight: NotNegative = 1.0
    """Factor in the total loss."""
    scales_mm: Scales | None = (0.0, 1.5, 3.0, 6.0, 12.0, 24.0)
    """Widths in mm of the kernels that smooth both labels; 0: no smoothing.

    Standard deviation of a Gaussian; the measure is averaged over all widths."""
    scales_voxel: Scales | None = None
    """The same in voxels of the grid, instead of `scales_mm`; label-reg uses 0, 1, 2, 4, 8, 16."""
    kernel: Literal["gaussian", "cauchy"] = "gaussian"
    """Shape of the smoothing kernel."""
    role_weights: RoleWeights = RoleWeights()
    """Factors by the role of a label."""


class CentroidLoss(LabelTermSettings):
    """Distance between the centroids of two labels, in mm."""

    costs: ClassVar = {"centroid": 0.005e-6}

    name: Literal["centroid"] = "centroid"
    """Distance between centres of mass; labels that are empty on either side are ignored."""
    weight: NotNegative = 0.1
    """Factor in the total loss, per mm (`smooth_l1`) or mm² (`squared`)."""
    norm: Literal["smooth_l1", "squared"] = "smooth_l1"
    """`squared`: the squared distance; `smooth_l1`: quadratic near 0, linear beyond `beta_mm`."""
    beta_mm: Positive = 1.0
    """Distance at which `smooth_l1` changes from quadratic to linear."""
    role_weights: LandmarkWeights = LandmarkWeights()
    """Factors by the role of a label."""


class SsdLoss(ImageTermSettings):
    """Mean squared difference of intensities; for images of one modality on one intensity scale."""

    costs: ClassVar = {"ssd": 0.08e-6}

    name: Literal["ssd"] = "ssd"
    """Mean squared difference."""
    weight: NotNegative = 1.0
    """Factor in the total loss, per squared unit of normalised intensity."""


class GnccLoss(ImageTermSettings):
    """One minus the squared correlation of all intensities; for images related by a linear map."""

    costs: ClassVar = {"gncc": 0.12e-6}

    name: Literal["gncc"] = "gncc"
    """Global normalised cross-correlation."""
    weight: NotNegative = 1.0
    """Factor in the total loss."""
    signed: bool = False
    """One minus the correlation itself, so that inverted contrast counts as unlike."""


class LnccLoss(ImageTermSettings):
    """One minus the mean squared correlation within windows; tolerates slowly varying contrast."""

    costs: ClassVar = {"lncc": 0.27e-6}

    name: Literal["lncc"] = "lncc"
    """Local normalised cross-correlation."""
    weight: NotNegative = 1.0
    """Factor in the total loss."""
    window_mm: Positive | None = 15.0
    """Width of the window in mm; at least three voxels are used."""
    window_voxel: Annotated[float, Field(ge=3, allow_inf_nan=False)] | None = None
    """The same in voxels of the grid, instead of `window_mm`."""
    kernel: Literal["box", "gaussian"] = "box"
    """Shape of the window; `gaussian` has the variance of the box."""
    signed: bool = False
    """One minus the correlation itself, so that inverted contrast counts as unlike."""

    @model_validator(mode="before")
    @classmethod
    def _voxels_instead(cls, values: Any) -> Any:  # noqa: ANN401 - any YAML value
        return without_default(values, "window")

    @model_validator(mode="after")
    def _one_unit(self) -> LnccLoss:
        require_one("window", self.window_mm, self.window_voxel)
        return self


class MutualInformationLoss(ImageTermSettings):
    """Mutual information of intensities, negated; for any two modalities."""

    costs: ClassVar = {"mutual_information": 0.48e-6}

    name: Literal["mutual_information"] = "mutual_information"
    """Mutual information from a smooth joint histogram."""
    weight: NotNegative = 1.0
    """Factor in the total loss."""
    normalised: bool = True
    """`true`: 2 - (H(a) + H(b)) / H(a, b), in [0, 1]; `false`: the negated information in nats."""
    bins: Annotated[int, Field(ge=2, le=256)] = 32
    """Number of intensity bins for each image."""


class MindLoss(ImageTermSettings):
    """Difference of self-similarity descriptors; for modalities that show the same edges."""

    costs: ClassVar = {"mind": 0.67e-6}

    name: Literal["mind"] = "mind"
    """Modality independent neighbourhood descriptor, self-similarity context."""
    weight: NotNegative = 1.0
    """Factor in the total loss."""
    radius_voxel: Annotated[int, Field(ge=0)] = 1
    """Half-width of the compared patches, in voxels; 0: single voxels."""
    distance_voxel: Annotated[int, Field(ge=1)] = 2
    """Distance from a voxel to the patches around it, in voxels."""


def _bending_weight(values: dict[str, Any]) -> float:
    return 0.5 if values.get("units") == "voxel" else 0.5 * REFERENCE_MM**2


class BendingLoss(RegulariserSettings):
    """Squared second derivatives of the displacement; an affine map costs nothing."""

    costs: ClassVar = {"bending": 0.13e-6}

    name: Literal["bending"] = "bending"
    """Bending energy."""
    units: Units = "mm"
    """Whether derivatives are taken in mm or, as label-reg does, in voxels of the grid."""
    weight: NotNegative = Field(default_factory=_bending_weight)
    """Factor in the total loss; default: 4.5 (mm²) in mm, 0.5 in voxels.

    The two defaults are equivalent for voxels of 3 mm."""


class GradientLoss(RegulariserSettings):
    """First derivatives of the displacement; a translation costs nothing."""

    costs: ClassVar = {"gradient": 0.05e-6}

    name: Literal["gradient"] = "gradient"
    """Gradient energy."""
    weight: NotNegative = 0.5
    """Factor in the total loss."""
    units: Units = "mm"
    """Whether derivatives are taken in mm or in voxels of the grid; equal for cubic voxels."""
    norm: Literal["l1", "l2"] = "l2"
    """Absolute or squared values."""


class FoldingLoss(RegulariserSettings):
    """Jacobian determinants below a margin; a deformation that does not fold costs nothing."""

    costs: ClassVar = {"folding": 0.15e-6}

    name: Literal["folding"] = "folding"
    """Mean of max(0, margin - J) or of its square."""
    weight: NotNegative = 1.0
    """Factor in the total loss."""
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Jacobian determinant below which a voxel is penalised (1: volume kept, 0: folded)."""
    norm: Literal["l1", "l2"] = "l1"
    """Penalise the deficit itself (`l1`) or its square (`l2`)."""


class InverseConsistencyLoss(RegulariserSettings):
    """Deviation from the identity of the map to moving and back; runs the network twice a step."""

    costs: ClassVar = {"inverse_consistency": 0.25e-6}
    compares = True
    two_way = True

    name: Literal["inverse_consistency"] = "inverse_consistency"
    """Mean squared distance between start and end; both images need equally many channels."""
    weight: NotNegative = 0.1
    """Factor in the total loss, per mm² (or squared voxel)."""
    units: Units = "mm"
    """Whether distances are in mm or in voxels of the grid."""


if TYPE_CHECKING:
    LabelTerm = LabelTermSettings
    ImageTerm = ImageTermSettings
    Regulariser = RegulariserSettings
    Energy = RegulariserSettings
else:
    LabelTerm = union(LabelTermSettings, CustomLabelLoss)
    ImageTerm = union(ImageTermSettings, CustomImageLoss)
    Regulariser = union(RegulariserSettings, CustomRegulariser)
    Energy = union(RegulariserSettings, CustomRegulariser, lambda term: not term.two_way)


class Losses(Section):
    """The loss terms, whose weighted sum training minimises."""

    labels: tuple[LabelTerm, ...] = (LabelLoss(),)
    """Terms that compare the warped moving labels with the fixed labels."""
    images: tuple[ImageTerm, ...] = ()
    """Terms that compare the warped moving image with the fixed image.

    With at least one, training also uses pairs without labels."""
    regularisers: tuple[Regulariser, ...] = (BendingLoss(),)
    """Terms of the deformation only."""

    @model_validator(mode="after")
    def _something_aligns(self) -> Losses:
        if not any(term.weight for term in (*self.labels, *self.images)):
            message = "nothing aligns the images"
            fix = "give at least one term of `labels` or `images` a weight above 0"
            raise InvalidValueError(message, fix)
        return self

    @property
    def comparing(self) -> tuple[str, ...]:
        """Names of the terms that need equally many channels in both images."""
        terms = (*self.images, *self.regularisers)
        return tuple(term.name for term in terms if term.compares)
