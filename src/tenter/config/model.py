"""Configuration of a model: its network, sampling, augmentation and training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tenter.config.cohort import Name, NotNegative, Positive
from tenter.config.losses import Losses
from tenter.config.networks import LocalNetwork, Network
from tenter.config.paths import UserPath
from tenter.config.pose import Pose
from tenter.config.section import Section
from tenter.config.test_time import TestTime
from tenter.errors import InvalidValueError

STEEPEST = 0.4
"""Largest control displacement, in spacings of the lattice, at which a cubic B-spline cannot fold.

Choi and Lee (2000) prove 1 / 2.479 = 0.403 in three dimensions."""


class Deformation(Section):
    """A smooth random deformation: cubic B-splines over a lattice of control displacements.

    It cannot fold, by the bound of Choi and Lee (Injectivity conditions of 2D and 3D uniform
    cubic B-spline functions, Graphical Models 62, 2000): no control point moves along any axis
    by more than 0.4 of the spacing of the lattice.
    """

    amplitude_mm: Positive
    """Largest displacement of a control point along each axis, drawn uniformly, in mm."""
    spacing_mm: Positive
    """Distance between control points in mm; at least 2.5 times the amplitude."""

    @model_validator(mode="after")
    def _does_not_fold(self) -> Deformation:
        if self.amplitude_mm > STEEPEST * self.spacing_mm:
            message = (
                f"an amplitude of {self.amplitude_mm:g} mm may fold at a spacing of "
                f"{self.spacing_mm:g} mm"
            )
            fix = (
                f"use at most {STEEPEST * self.spacing_mm:g} mm, or a spacing of at least "
                f"{self.amplitude_mm / STEEPEST:g} mm"
            )
            raise InvalidValueError(message, fix)
        return self


class Bias(Section):
    """A smooth random gain field, such as that of a receive coil or of attenuation.

    The field is the exponential of a cubic B-spline.
    """

    amplitude: Positive
    """Largest change a: the gain lies between 1 / (1 + a) and 1 + a."""
    spacing_mm: Positive
    """Distance between control points in mm."""


class Appearance(Section):
    """Random changes of the intensities of one image, independent for each channel.

    In units of the normalised image: 1 is its standard deviation under `plan.intensity: zscore`,
    otherwise the width of its intensity window. Applied in the order blur, bias, gamma, gain,
    offset, noise.
    """

    blur_mm: NotNegative = 0.0
    """Largest standard deviation of Gaussian smoothing in mm, drawn uniformly from 0."""
    bias: Bias | None = None
    """Smooth gain field, applied to intensities above the darkest voxel; default: none."""
    gamma: NotNegative = 0.0
    """Largest change g of contrast: the exponent lies between 1 / (1 + g) and 1 + g.

    It acts on intensities rescaled to [0, 1] between the darkest and the brightest voxel of the
    channel, which stay the same; so negative intensities are allowed."""
    gain: NotNegative = 0.0
    """Largest change g of a factor, which lies between 1 / (1 + g) and 1 + g; 0 stays 0."""
    offset: NotNegative = 0.0
    """Largest value that is added or subtracted."""
    noise: NotNegative = 0.0
    """Largest standard deviation of Gaussian noise in each voxel, drawn uniformly from 0."""


class Intensity(Section):
    """Random changes of intensities, drawn independently for the two images."""

    moving: Appearance | None = None
    """Changes of the moving image; default: none."""
    fixed: Appearance | None = None
    """Changes of the fixed image; default: none."""


class Augmentation(Section):
    """Random changes of the training data, drawn anew for each sample of each step.

    The two images are deformed independently (but mirrored together), each with its labels; all
    spatial maps are composed and interpolated once. Enabling one change does not alter the draws of
    another.
    """

    affine: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Largest inward shift of the grid's corners, as a share of its half-width; 0: off.

    This is label-reg's `corner_scale`."""
    pose: Pose | None = None
    """Random affine map in mm about the centre of the grid; default: none."""
    deformation: Deformation | None = None
    """Smooth random deformation; default: none."""
    mirror: bool = False
    """Whether to mirror half of the samples, both images together, along the left-right axis.

    Labels then swap names with their counterparts (`mirror` in `labels.names`)."""
    intensity: Intensity = Intensity()
    """Random changes of intensities."""
    across: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of samples whose fixed image is taken from another pair of the training part.

    For these only structures present in both pairs are compared: landmarks of two patients do not
    correspond. Helps the network to recognise structures in each image if there are few pairs."""


class Validation(Section):
    """Validation during training, on patients held out from the training part of the fold."""

    fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the patients of the training part that is held out; 0: no validation."""
    every: Annotated[int, Field(ge=1)] = 500
    """Steps between two validations."""
    measure: Literal["tre_mm", "dice", "soft_dice"] = "soft_dice"
    """Measure for `keep` and `patience`: `tre_mm` of landmarks, or an overlap of structures."""
    keep: Literal["last", "best"] = "last"
    """Which weights become the model: those of the last step or of the best validation."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Consecutive validations without improvement after which training stops.

    Default: training runs to its last step."""

    @model_validator(mode="after")
    def _something_is_watched(self) -> Validation:
        if self.fraction == 0 and (self.keep == "best" or self.patience is not None):
            message = "`keep: best` and `patience` need patients that are set aside"
            raise InvalidValueError(message, "set `fraction` above 0")
        return self


class Training(Section):
    """Optimisation of the network."""

    steps: Annotated[int, Field(ge=1)] = 10_000
    """Number of optimiser steps."""
    batch: Annotated[int, Field(ge=1)] = 4
    """Pairs in each step."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Equal parts into which a batch is divided to accumulate gradients: same step, less memory.

    The gradients of the parts are averaged; `batch` must be a multiple of it."""
    labels_per_pair: Annotated[int, Field(ge=1)] | Literal["all"] = 1
    """Labels drawn for each pair of a step, or `all` labels."""
    label_sampling: Literal["uniform", "balanced"] = "uniform"
    """`uniform` over a pair's labels (label-reg); `balanced` draws the role first."""
    learning_rate: Positive = 1e-5
    """Adam's step size."""
    warmup: Annotated[int, Field(ge=0)] = 0
    """Steps of linear increase of the learning rate to its full value, before the schedule."""
    schedule: Literal["constant", "cosine", "exponential", "steps"] = "constant"
    """How the learning rate decreases.

    `cosine`: to zero at the last step; `exponential`: to the share `decay` at the last step;
    `steps`: by the factor `decay` at each step of `decay_at`."""
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the learning rate that remains (`exponential` and `steps` only)."""
    decay_at: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Steps at which the learning rate drops (`steps` only)."""
    weight_decay: NotNegative = 0.0
    """Decoupled weight decay (AdamW)."""
    clip: Positive | None = None
    """Gradients are clipped to this norm; default: no clipping."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the exponential moving average of the weights, which becomes the model; 0: off."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the network; `bfloat16` uses autocast. Losses stay in float32."""

    @model_validator(mode="after")
    def _parts_are_equal(self) -> Training:
        if self.batch % self.accumulate:
            message = (
                f"a batch of {self.batch} pairs cannot be divided into {self.accumulate} equal "
                "parts"
            )
            raise InvalidValueError(message, "make `batch` a multiple of `accumulate`")
        return self

    @model_validator(mode="after")
    def _rate_has_a_course(self) -> Training:
        if self.warmup >= self.steps:
            message = f"`warmup` of {self.warmup} steps leaves nothing of {self.steps} `steps`"
            raise InvalidValueError(message, f"use at most {self.steps - 1}")
        if (self.schedule == "steps") != bool(self.decay_at):
            message = "`decay_at` and `schedule: steps` need each other"
            raise InvalidValueError(message, "give both or neither")
        ordered = tuple(sorted(set(self.decay_at)))
        if self.decay_at != ordered or (ordered and ordered[-1] >= self.steps):
            message = f"`decay_at` is {list(self.decay_at)}"
            raise InvalidValueError(message, f"give rising steps below {self.steps} (`steps`)")
        return self


class Model(Section):
    """A registration model: its network and how it is trained."""

    network: Network = LocalNetwork()
    """The network that maps two images to a displacement field."""
    losses: Losses = Losses()
    """Loss terms that training minimises."""
    augmentation: Augmentation = Augmentation()
    """Random changes of the training data."""
    validation: Validation = Validation()
    """Validation during training."""
    training: Training = Training()
    """Optimisation."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    """Random seeds; each further one repeats the cross-validation as model `<name>-seed<k>`."""
    warm_start: UserPath | None = None
    """Folder of a finished model with the initial weights, relative to the configuration."""
    final: bool = False
    """Whether to train a final model, `fold-all`, on all patients."""
    test_time: Annotated[dict[Name, TestTime], Field(default_factory=dict)]
    """Test-time options: further ways to register with this model, without training.

    The results of each are listed under the model name `<name>-<option>`."""

    @model_validator(mode="after")
    def _seeds_differ(self) -> Model:
        if len(set(self.seeds)) != len(self.seeds):
            message = "`seeds` holds a number twice"
            raise InvalidValueError(message, "give each seed once")
        return self

    @model_validator(mode="after")
    def _ensembles_have_members(self) -> Model:
        alone = [name for name, option in self.test_time.items() if option.ensemble]
        if alone and len(self.seeds) == 1:
            message = f"`test_time.{alone[0]}` is an ensemble of seeds, but there is one"
            raise InvalidValueError(message, "give more `seeds`")
        return self
