"""Configuration of networks: what maps two images to a displacement field.

A network called `x` lives in `networks/x.py`; provenance relies on it to tell which modules
a training reads.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tenter.config.cohort import Positive
from tenter.config.section import Section

Norm = Literal["instance", "group", "batch"]
Count = Annotated[int, Field(ge=1)]


class FieldNetwork(Section):
    """What networks have in common that give each voxel a displacement of its own."""

    name: str
    channels: Count
    output: Literal["displacement", "velocity", "bspline"] = "displacement"
    """What is predicted: `displacement`; a stationary `velocity`, whose flow does not fold; or `bspline`,
    the control points of a cubic B-spline."""
    squarings: Annotated[int, Field(ge=1, le=12)] = 7
    """Squarings of the flow's first step, which is 2^-squarings of its time (`velocity` only)."""
    control_spacing: Annotated[int, Field(ge=2)] = 4
    """Distance of control points in voxels of the grid (`bspline` only)."""


class LocalNetwork(FieldNetwork):
    """Local-Net of label-reg: an encoder-decoder whose displacement heads are summed over levels."""

    name: Literal["local"] = "local"
    """Displacement field by Local-Net."""
    channels: Count = 32
    """Channels at full resolution; doubled at each of the four halvings."""
    levels: Annotated[tuple[Annotated[int, Field(ge=0, le=4)], ...], Field(min_length=1)] = (0, 1, 2, 3, 4)
    """Levels that carry a displacement head: 0 full resolution ... 4 a sixteenth."""
    norm: Norm = "instance"
    """Normalisation after each convolution; `batch` uses batch statistics while training only."""
    parity: bool = False
    """Whether it is label-reg's own graph: statistics of the batch in registration too, TensorFlow's
    resizing and padding. A pair is registered alone, so its result still depends on it alone."""

    @model_validator(mode="after")
    def _parity_leaves_no_choice(self) -> LocalNetwork:
        if self.parity and (self.norm, self.output) != ("instance", "displacement"):
            message = "`parity` decides on `norm` and `output`; leave them out"
            raise ValueError(message)
        return self


class GlobalNetwork(Section):
    """Global-Net of label-reg: an encoder that predicts one affine map."""

    name: Literal["global"] = "global"
    """Affine map by Global-Net, about the grid's centre, pooled so that any size fits."""
    channels: Count = 8
    """Channels at full resolution; doubled at each of the four halvings."""
    finest: Literal[0, 1] = 1
    """Finest level with features: 0 full resolution, as label-reg; 1 half, seven times as fast."""
    norm: Norm = "instance"
    """Normalisation after each convolution."""
    bound: Positive = 0.5
    """Largest change of each matrix entry, and of the shift in half-widths of the grid (tanh-bounded)."""
    parity: bool = False
    """Whether it is label-reg's own graph: a layer from all of the last features to a map of voxel
    coordinates, not bounded, which ties the network to one `size`."""
    size: tuple[Count, ...] | None = None
    """Voxels of the grid along each axis, as in the plan (`parity` only)."""

    @model_validator(mode="after")
    def _parity_leaves_no_choice(self) -> GlobalNetwork:
        if self.parity != (self.size is not None):
            message = (
                "`size` and `parity: true` need each other; "
                "give both, `size` being the shape of the plan, or neither"
            )
            raise ValueError(message)
        if self.parity and (self.finest, self.norm) != (0, "instance"):
            message = "`parity` decides on `finest` and `norm`; write `finest: 0`, and leave `norm` out"
            raise ValueError(message)
        return self


class KeypointNetwork(Section):
    """Points that correspond, each found in its own image, and the affine map that fits them best."""

    name: Literal["keypoint"] = "keypoint"
    """Affine map by least squares through pairs of points, after KeyMorph."""
    channels: Count = 8
    """Channels at the finest level; doubled at each halving."""
    points: Count = 24
    """Pairs of points."""
    depth: Annotated[int, Field(ge=1, le=5)] = 2
    """Number of halvings below the finest level."""
    finest: Literal[0, 1] = 1
    """Finest level with features, on which points are found: 0 full resolution; 1 half."""
    ridge: Positive = 0.069
    """What draws the map towards a shift: variance that is added to the points', in squared half-widths
    of the grid. The default is 100 mm² on average over the axes of 24 x 32 x 22 voxels of 3 mm."""
    norm: Norm = "instance"
    """Normalisation after each convolution."""


class UNetNetwork(FieldNetwork):
    """A U-Net with one displacement head."""

    name: Literal["unet"] = "unet"
    """Displacement field by a U-Net."""
    channels: Count = 16
    """Channels at full resolution; doubled at each halving."""
    depth: Annotated[int, Field(ge=1, le=5)] = 3
    """Number of halvings."""
    finest: Literal[0, 1] = 1
    """Finest level with features; its head gives the field: 0 full resolution; 1 half, thrice as fast."""
    norm: Norm = "instance"
    """Normalisation after each convolution."""


AffineNetwork = Annotated[GlobalNetwork | KeypointNetwork, Field(discriminator="name")]
DenseNetwork = Annotated[LocalNetwork | UNetNetwork, Field(discriminator="name")]


class CascadeNetwork(Section):
    """Dense networks one after another, coarse to fine; each sees what those before it have made."""

    name: Literal["cascade"] = "cascade"
    """Displacement field in stages, composed as maps; trained jointly."""
    factors: Annotated[tuple[Annotated[int, Field(ge=1, le=16)], ...], Field(min_length=1)] = (4, 2, 1)
    """Voxels along each axis that become one for a stage; one factor a stage, in their order."""
    network: DenseNetwork = UNetNetwork()
    """The network of each stage, which has weights of its own."""


class CompositeNetwork(Section):
    """An affine network, then a dense one on the image it has placed; composed as maps."""

    name: Literal["composite"] = "composite"
    """Affine map, then a displacement field; trained jointly."""
    first: AffineNetwork = GlobalNetwork()
    """The affine part."""
    second: Annotated[LocalNetwork | UNetNetwork | CascadeNetwork, Field(discriminator="name")] = (
        UNetNetwork()
    )
    """The dense part."""
    parity: bool = False
    """Whether it is label-reg's own graph: displacements are added rather than composed."""

    @model_validator(mode="after")
    def _parity_is_of_all_parts(self) -> CompositeNetwork:
        affine = isinstance(self.first, GlobalNetwork) and self.first.parity
        dense = isinstance(self.second, LocalNetwork) and self.second.parity
        if self.parity and not (affine and dense):
            message = (
                "`parity` is of all parts; "
                "use `global` as `first` and `local` as `second`, both with `parity: true`"
            )
            raise ValueError(message)
        return self


Network = Annotated[
    LocalNetwork | GlobalNetwork | KeypointNetwork | UNetNetwork | CascadeNetwork | CompositeNetwork,
    Field(discriminator="name"),
]
