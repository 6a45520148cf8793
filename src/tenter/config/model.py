"""Configuration of a model: its network, losses, sampling, augmentation and training.

A network or loss called `x` lives in `networks/x.py` or `losses/x.py`; provenance
relies on it to tell which modules a training reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tenter.config.cohort import NotNegative, Positive
from tenter.config.section import Section

Norm = Literal["instance", "group", "batch"]


class LocalNetwork(Section):
    """Local-Net of label-reg: an encoder-decoder whose displacement heads are summed over levels."""

    name: Literal["local"] = "local"
    """Displacement field by Local-Net."""
    channels: Annotated[int, Field(ge=1)] = 32
    """Channels at full resolution; doubled at each of the four halvings."""
    levels: Annotated[tuple[Annotated[int, Field(ge=0, le=4)], ...], Field(min_length=1)] = (0, 1, 2, 3, 4)
    """Levels that carry a displacement head: 0 full resolution ... 4 a sixteenth."""
    norm: Norm = "instance"
    """Normalisation after each convolution; `batch` uses batch statistics while training only."""


class GlobalNetwork(Section):
    """Global-Net of label-reg: an encoder that predicts one affine map."""

    name: Literal["global"] = "global"
    """Affine map by Global-Net, about the grid's centre, pooled so that any size fits."""
    channels: Annotated[int, Field(ge=1)] = 8
    """Channels at full resolution; doubled at each of the four halvings."""
    finest: Literal[0, 1] = 1
    """Finest level with features: 0 full resolution, as label-reg; 1 half, seven times as fast."""
    norm: Norm = "instance"
    """Normalisation after each convolution."""
    bound: Positive = 0.5
    """Largest change of each matrix entry, and of the shift in half-widths of the grid (tanh-bounded)."""


class UNetNetwork(Section):
    """A U-Net with one displacement head."""

    name: Literal["unet"] = "unet"
    """Displacement field by a U-Net."""
    channels: Annotated[int, Field(ge=1)] = 16
    """Channels at full resolution; doubled at each halving."""
    depth: Annotated[int, Field(ge=1, le=5)] = 3
    """Number of halvings."""
    finest: Literal[0, 1] = 1
    """Finest level with features; its head gives the field: 0 full resolution; 1 half, thrice as fast."""
    norm: Norm = "instance"
    """Normalisation after each convolution."""


class CompositeNetwork(Section):
    """Global-Net, then a dense network on the image it has placed; composed as maps."""

    name: Literal["composite"] = "composite"
    """Affine map by Global-Net, then a displacement field; trained jointly."""
    first: GlobalNetwork = GlobalNetwork()
    """The affine part."""
    second: Annotated[LocalNetwork | UNetNetwork, Field(discriminator="name")] = UNetNetwork()
    """The dense part."""


Network = Annotated[
    LocalNetwork | GlobalNetwork | UNetNetwork | CompositeNetwork, Field(discriminator="name")
]


class LabelLoss(Section):
    """How unlike two labels are, over several scales of smoothing."""

    name: Literal["dice", "jaccard", "cross_entropy", "mean_squared"] = "dice"
    """The measure at each scale."""
    weight: NotNegative = 1.0
    """Factor in the total loss."""
    scales_mm: Annotated[tuple[NotNegative, ...], Field(min_length=1)] = (0.0, 1.5, 3.0, 6.0, 12.0, 24.0)
    """Standard deviations in mm of the kernels that smooth both labels; 0 is none.

    The measure is averaged over them."""
    kernel: Literal["gaussian", "cauchy"] = "gaussian"
    """Shape of the smoothing kernel."""


class Regulariser(Section):
    """What a deformation costs."""

    name: Literal["bending", "gradient"] = "bending"
    """`bending`: squared second derivatives; `gradient`: first derivatives."""
    weight: NotNegative = 0.5
    """Factor in the total loss."""
    units: Literal["mm", "voxel"] = "voxel"
    """Whether derivatives are taken in mm or, as label-reg does, in voxels of the grid."""
    norm: Literal["l1", "l2"] = "l2"
    """Absolute or squared values (`gradient` only)."""


class Losses(Section):
    """The weighted sum that training minimises."""

    label: LabelLoss = LabelLoss()
    """The label term."""
    regularisers: tuple[Regulariser, ...] = (Regulariser(),)
    """Deformation terms."""


class Augmentation(Section):
    """Random deformation of both sides, drawn anew for each sample of each step."""

    affine: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Largest inward move of the cube's corners, as a share of its half-width; 0 is off.

    label-reg's corner_scale."""


class Validation(Section):
    """What is watched while training, on patients that the fold's training part sets aside."""

    fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the training part's patients that is set aside; 0 is none."""
    every: Annotated[int, Field(ge=1)] = 500
    """Steps between two looks."""


class Training(Section):
    """How long and how fast a network learns."""

    steps: Annotated[int, Field(ge=1)] = 10_000
    """Optimiser steps."""
    batch: Annotated[int, Field(ge=1)] = 4
    """Pairs a step."""
    labels_per_pair: Annotated[int, Field(ge=1)] = 1
    """Labels drawn for each pair of a step."""
    label_sampling: Literal["uniform", "balanced"] = "uniform"
    """`uniform` over a pair's labels (label-reg); `balanced` draws the role first."""
    learning_rate: Positive = 1e-5
    """Adam's step size."""
    schedule: Literal["constant", "cosine"] = "constant"
    """`cosine` lets the learning rate fall to zero at the last step."""
    weight_decay: NotNegative = 0.0
    """Decoupled weight decay (AdamW)."""
    clip: Positive | None = None
    """Largest norm of the gradient; default: no clipping."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the exponential moving average of weights that becomes the model; 0 is off."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the network: `bfloat16` is autocast; losses stay in float32."""


class Model(Section):
    """One way to register: what is trained, and how."""

    network: Network = LocalNetwork()
    """The network that maps two images to a displacement field."""
    losses: Losses = Losses()
    """What is minimised."""
    augmentation: Augmentation = Augmentation()
    """Random deformation of the training data."""
    validation: Validation = Validation()
    """What is watched while training."""
    training: Training = Training()
    """How the loss is minimised."""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    """Seeds; each further one repeats the whole cross-validation as model `<name>-seed<k>`."""
    warm_start: Path | None = None
    """Folder of a finished model whose weights training starts from (relative to the configuration)."""
    final: bool = False
    """Whether a last model, `fold-all`, is trained on all patients."""

    @model_validator(mode="after")
    def _seeds_differ(self) -> Model:
        if len(set(self.seeds)) != len(self.seeds):
            message = "seeds must differ from one another"
            raise ValueError(message)
        return self
