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

STEEPEST = 0.4
"""Largest control displacement, in spacings of the lattice, at which a cubic B-spline cannot fold.

Choi and Lee (2000) prove 1 / 2.479 = 0.403 in three dimensions."""


class Deformation(Section):
    """A smooth random deformation: cubic B-splines over a lattice of control displacements.

    Folds are kept out by the bound of Choi and Lee (Injectivity conditions of 2D and 3D uniform
    cubic B-spline functions, Graphical Models 62, 2000): no control point moves along any axis
    by more than 0.4 of the lattice's spacing.
    """

    amplitude_mm: Positive
    """Largest displacement of a control point along each axis, drawn uniformly, in mm."""
    spacing_mm: Positive
    """Distance of control points in mm; at least 2.5 times the amplitude."""

    @model_validator(mode="after")
    def _does_not_fold(self) -> Deformation:
        if self.amplitude_mm > STEEPEST * self.spacing_mm:
            message = (
                f"an amplitude of {self.amplitude_mm:g} mm may fold at a spacing of {self.spacing_mm:g} mm; "
                f"use at most {STEEPEST * self.spacing_mm:g} mm, or a spacing of at least "
                f"{self.amplitude_mm / STEEPEST:g} mm"
            )
            raise ValueError(message)
        return self


class Bias(Section):
    """A smooth random factor over an image, as of a coil or of attenuation: exp of a cubic B-spline."""

    amplitude: Positive
    """Largest change a: the factor stays between 1 / (1 + a) and 1 + a."""
    spacing_mm: Positive
    """Distance of control points in mm."""


class Appearance(Section):
    """Random intensities of one side, each channel by itself.

    In units of the normalised image: under `plan.intensity: zscore` 1 is its standard deviation,
    else the width of its window. Applied in the order blur, bias, gamma, gain, offset, noise.
    """

    blur_mm: NotNegative = 0.0
    """Largest standard deviation of Gaussian smoothing in mm, drawn uniformly from 0."""
    bias: Bias | None = None
    """Smooth multiplicative field, with the darkest voxel as its zero; default: none."""
    gamma: NotNegative = 0.0
    """Largest change g of contrast: an exponent between 1 / (1 + g) and 1 + g.

    It acts on the place between the channel's darkest and brightest voxel, which it leaves as they
    are; so images with negative values are as good as others."""
    gain: NotNegative = 0.0
    """Largest change g of the factor, which lies between 1 / (1 + g) and 1 + g; about the value 0."""
    offset: NotNegative = 0.0
    """Largest value that is added or taken away."""
    noise: NotNegative = 0.0
    """Largest standard deviation of Gaussian noise in each voxel, drawn uniformly from 0."""


class Intensity(Section):
    """Random intensities, drawn independently for the two sides."""

    moving: Appearance | None = None
    """Of the moving image; default: unchanged."""
    fixed: Appearance | None = None
    """Of the fixed image; default: unchanged."""


class Augmentation(Section):
    """What is changed at random, anew for each sample of each step.

    Both sides are deformed independently (but mirrored together), each image with its labels, by all
    maps in one interpolation. Switching one on does not change what another draws.
    """

    affine: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Largest inward move of the cube's corners, as a share of its half-width; 0 is off.

    label-reg's corner_scale."""
    pose: Pose | None = None
    """Random affine map in mm about the grid's centre; default: none."""
    deformation: Deformation | None = None
    """Smooth random deformation; default: none."""
    mirror: bool = False
    """Whether half of the samples are mirrored, both sides together, along the grid's left-right axis.

    Labels then change names with their twins (`mirror` in `labels.names`)."""
    intensity: Intensity = Intensity()
    """Random intensities."""
    across: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of samples whose fixed side is taken from another pair of the training part.

    Of these only structures that both pairs have are compared: landmarks of two patients do not
    correspond. It teaches each side's features what a structure looks like, where pairs are few."""


class Validation(Section):
    """What is watched while training, on patients that the fold's training part sets aside."""

    fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the training part's patients that is set aside; 0 is none."""
    every: Annotated[int, Field(ge=1)] = 500
    """Steps between two looks."""
    measure: Literal["tre_mm", "dice", "soft_dice"] = "soft_dice"
    """What `keep` and `patience` go by: `tre_mm` of landmarks, or an overlap of structures."""
    keep: Literal["last", "best"] = "last"
    """Which weights become the model: those of the last step, or of the look with the best measure."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Looks in a row without a better measure after which training stops; default: it never does."""

    @model_validator(mode="after")
    def _something_is_watched(self) -> Validation:
        if self.fraction == 0 and (self.keep == "best" or self.patience is not None):
            message = "`keep: best` and `patience` need patients that are set aside; set `fraction` above 0"
            raise ValueError(message)
        return self


class Training(Section):
    """How long and how fast a network learns."""

    steps: Annotated[int, Field(ge=1)] = 10_000
    """Optimiser steps."""
    batch: Annotated[int, Field(ge=1)] = 4
    """Pairs a step."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Equal parts that a batch is learnt in, one after another: less memory for the same step.

    Their gradients are averaged; `batch` must be a multiple of it."""
    labels_per_pair: Annotated[int, Field(ge=1)] | Literal["all"] = 1
    """Labels drawn for each pair of a step, or `all` of them."""
    label_sampling: Literal["uniform", "balanced"] = "uniform"
    """`uniform` over a pair's labels (label-reg); `balanced` draws the role first."""
    learning_rate: Positive = 1e-5
    """Adam's step size."""
    warmup: Annotated[int, Field(ge=0)] = 0
    """Steps over which the learning rate rises evenly to its full size, before the schedule begins."""
    schedule: Literal["constant", "cosine", "exponential", "steps"] = "constant"
    """How the learning rate falls.

    `cosine` to zero at the last step; `exponential` evenly to the share `decay` at the last step;
    `steps` by the factor `decay` at each of `decay_at`."""
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the learning rate that is left (`exponential` and `steps` only)."""
    decay_at: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Steps at which the learning rate drops (`steps` only)."""
    weight_decay: NotNegative = 0.0
    """Decoupled weight decay (AdamW)."""
    clip: Positive | None = None
    """Largest norm of the gradient; default: no clipping."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the exponential moving average of weights that becomes the model; 0 is off."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the network: `bfloat16` is autocast; losses stay in float32."""

    @model_validator(mode="after")
    def _parts_are_equal(self) -> Training:
        if self.batch % self.accumulate:
            message = (
                f"a batch of {self.batch} pairs cannot be divided into {self.accumulate} equal parts; "
                "make `batch` a multiple of `accumulate`"
            )
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _rate_has_a_course(self) -> Training:
        if self.warmup >= self.steps:
            message = (
                f"`warmup` of {self.warmup} steps leaves nothing of {self.steps} `steps`; "
                f"use at most {self.steps - 1}"
            )
            raise ValueError(message)
        if (self.schedule == "steps") != bool(self.decay_at):
            message = "`decay_at` and `schedule: steps` need each other; give both or neither"
            raise ValueError(message)
        ordered = tuple(sorted(set(self.decay_at)))
        if self.decay_at != ordered or (ordered and ordered[-1] >= self.steps):
            message = f"`decay_at` is {list(self.decay_at)}; give rising steps below {self.steps} (`steps`)"
            raise ValueError(message)
        return self


class Model(Section):
    """One way to register: what is trained, and how."""

    network: Network = LocalNetwork()
    """The network that maps two images to a displacement field."""
    losses: Losses = Losses()
    """What is minimised."""
    augmentation: Augmentation = Augmentation()
    """What is changed at random in the training data."""
    validation: Validation = Validation()
    """What is watched while training."""
    training: Training = Training()
    """How the loss is minimised."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    """Seeds; each further one repeats the whole cross-validation as model `<name>-seed<k>`."""
    warm_start: UserPath | None = None
    """Folder of a finished model whose weights training starts from (relative to the configuration)."""
    final: bool = False
    """Whether a last model, `fold-all`, is trained on all patients."""
    test_time: Annotated[dict[Name, TestTime], Field(default_factory=dict)]
    """Further ways to register by this model, without training; each registers as model `<name>-<option>`."""

    @model_validator(mode="after")
    def _seeds_differ(self) -> Model:
        if len(set(self.seeds)) != len(self.seeds):
            message = "`seeds` holds a number twice; give each seed once"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _ensembles_have_members(self) -> Model:
        alone = [name for name, option in self.test_time.items() if option.ensemble]
        if alone and len(self.seeds) == 1:
            message = f"`test_time.{alone[0]}` is an ensemble of seeds, but there is one; give more `seeds`"
            raise ValueError(message)
        return self
