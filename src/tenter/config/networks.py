"""Configuration of networks, which map two images to a displacement field.

A network called `x` lives in `networks/x.py`. Its settings are a class below, which is all that has
to be written besides: the union of networks, the class that is built and the code that a training
reads follow from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from tenter.config.alternatives import union
from tenter.config.cohort import Positive
from tenter.config.custom import NamedCode
from tenter.config.section import Section
from tenter.errors import InvalidValueError

Norm = Literal["instance", "group", "batch"]
Count = Annotated[int, Field(ge=1)]


class NetworkSettings(Section):
    """Base class of the settings of a network.

    Attributes:
        room: package of the modules of networks.
        builds: the class in `networks/<name>.py`.
    """

    room: ClassVar[str] = "networks"
    builds: ClassVar[str]

    name: str


class DenseSettings(NetworkSettings):
    """Base class of the settings of networks whose displacement varies freely over the grid."""


class AffineSettings(NetworkSettings):
    """Base class of the settings of networks that predict an affine map."""


class FieldNetwork(DenseSettings):
    """Common settings of networks that predict a displacement for each voxel."""

    channels: Count
    output: Literal["displacement", "velocity", "bspline"] = "displacement"
    """What the network predicts.

    `displacement`: the field itself; `velocity`: a stationary velocity field, whose flow does not
    fold; `bspline`: displacements of the control points of a cubic B-spline."""
    squarings: Annotated[int, Field(ge=1, le=12)] = 7
    """Scaling-and-squaring steps that integrate the velocity (`velocity` only)."""
    control_spacing: Annotated[int, Field(ge=2)] = 4
    """Distance between control points in voxels of the grid (`bspline` only)."""


class LocalNetwork(FieldNetwork):
    """Local-Net of label-reg: an encoder-decoder that sums displacement heads over its levels."""

    builds = "LocalNet"

    name: Literal["local"] = "local"
    """Displacement field by Local-Net."""
    channels: Count = 32
    """Channels at full resolution; doubled at each of the four halvings."""
    levels: Annotated[tuple[Annotated[int, Field(ge=0, le=4)], ...], Field(min_length=1)] = (
        0,
        1,
        2,
        3,
        4,
    )
    """Levels with a displacement head: 0 is full resolution, 4 one sixteenth of it."""
    norm: Norm = "instance"
    """Normalisation after each convolution; `batch` uses batch statistics in training only."""
    parity: bool = False
    """Whether to reproduce label-reg's graph exactly: TensorFlow's resizing and padding, and batch
    statistics at registration, too. Pairs are registered one by one, so results do not depend on
    other pairs."""

    @model_validator(mode="after")
    def _parity_leaves_no_choice(self) -> LocalNetwork:
        if self.parity and (self.norm, self.output) != ("instance", "displacement"):
            message = "`parity` decides on `norm` and `output`"
            raise InvalidValueError(message, "leave them out")
        return self


class GlobalNetwork(AffineSettings):
    """Global-Net of label-reg: an encoder that predicts one affine map."""

    builds = "GlobalNet"

    name: Literal["global"] = "global"
    """Affine map about the centre of the grid by Global-Net; pooling admits any grid size."""
    channels: Count = 8
    """Channels at full resolution; doubled at each of the four halvings."""
    finest: Literal[0, 1] = 1
    """Finest level with features (0: full resolution, as label-reg; 1: half, 7 times as fast)."""
    norm: Norm = "instance"
    """Normalisation after each convolution."""
    bound: Positive = 0.5
    """Largest change of each matrix entry, and of the shift in half-widths of the grid.

    Bounded by tanh."""
    parity: bool = False
    """Whether to reproduce label-reg's graph exactly: a dense layer from all features of the last
    level to an unbounded affine map of voxel coordinates, which requires a fixed `size`."""
    size: tuple[Count, ...] | None = None
    """Voxels of the grid along each axis, as in the plan (`parity` only)."""

    @model_validator(mode="after")
    def _parity_leaves_no_choice(self) -> GlobalNetwork:
        if self.parity != (self.size is not None):
            message = "`size` and `parity: true` need each other"
            fix = "give both, `size` being the shape of the plan, or neither"
            raise InvalidValueError(message, fix)
        if self.parity and (self.finest, self.norm) != (0, "instance"):
            message = "`parity` decides on `finest` and `norm`"
            raise InvalidValueError(message, "write `finest: 0`, and leave `norm` out")
        return self


class KeypointNetwork(AffineSettings):
    """Keypoints detected in each image separately, and the affine map that fits them best."""

    builds = "KeypointNet"

    name: Literal["keypoint"] = "keypoint"
    """Affine map by a least-squares fit to pairs of keypoints, after KeyMorph."""
    channels: Count = 8
    """Channels at the finest level; doubled at each halving."""
    points: Count = 24
    """Number of pairs of keypoints."""
    depth: Annotated[int, Field(ge=1, le=5)] = 2
    """Number of halvings below the finest level."""
    finest: Literal[0, 1] = 1
    """Finest level with features, where keypoints are detected (0: full resolution; 1: half)."""
    ridge: Positive = 0.069
    """Ridge regularisation of the fit: larger values allow less rotation, scaling and shear.

    It is added to the variance of the keypoints, in squared half-widths of the grid. The default is
    100 mm² on average over the axes of a grid of 24 x 32 x 22 voxels of 3 mm."""
    norm: Norm = "instance"
    """Normalisation after each convolution."""


class UNetNetwork(FieldNetwork):
    """A U-Net with one displacement head."""

    builds = "UNet"

    name: Literal["unet"] = "unet"
    """Displacement field by a U-Net."""
    channels: Count = 16
    """Channels at full resolution; doubled at each halving."""
    depth: Annotated[int, Field(ge=1, le=5)] = 3
    """Number of halvings."""
    finest: Literal[0, 1] = 1
    """Finest level, with the displacement head (0: full resolution; 1: half, 3 times as fast)."""
    norm: Norm = "instance"
    """Normalisation after each convolution."""


# Networks of networks come last: their parts are the networks that are defined above them.
if TYPE_CHECKING:
    AffineNetwork = AffineSettings
    DenseNetwork = FieldNetwork
else:
    AffineNetwork = union(AffineSettings)
    DenseNetwork = union(FieldNetwork)


class CascadeNetwork(DenseSettings):
    """Dense networks in sequence, coarse to fine; each sees the image warped by those before it."""

    builds = "CascadeNet"

    name: Literal["cascade"] = "cascade"
    """Displacement field in stages; the stages are composed as maps and trained jointly."""
    factors: Annotated[tuple[Annotated[int, Field(ge=1, le=16)], ...], Field(min_length=1)] = (
        4,
        2,
        1,
    )
    """Downsampling factor of each stage along each axis, in the order of the stages."""
    network: DenseNetwork = UNetNetwork()
    """The network of each stage; stages do not share weights."""


if TYPE_CHECKING:
    DensePart = DenseSettings
else:
    DensePart = union(DenseSettings)


class CompositeNetwork(NetworkSettings):
    """An affine network, then a dense one on the affinely warped image; composed as maps."""

    builds = "CompositeNet"

    name: Literal["composite"] = "composite"
    """Affine map, then a displacement field; trained jointly."""
    first: AffineNetwork = GlobalNetwork()
    """The affine part."""
    second: DensePart = UNetNetwork()
    """The dense part."""
    parity: bool = False
    """Whether to reproduce label-reg's graph exactly: displacements are added, not composed."""

    @model_validator(mode="after")
    def _parity_is_of_all_parts(self) -> CompositeNetwork:
        affine = isinstance(self.first, GlobalNetwork) and self.first.parity
        dense = isinstance(self.second, LocalNetwork) and self.second.parity
        if self.parity and not (affine and dense):
            message = "`parity` applies to all parts"
            fix = "use `global` as `first` and `local` as `second`, both with `parity: true`"
            raise InvalidValueError(message, fix)
        return self


class CustomNetwork(NamedCode, NetworkSettings):
    """A network of your own: a class in a Python file or in an installed package.

    See docs/how-to/your-own-code.md.
    """


if TYPE_CHECKING:
    Network = NetworkSettings
else:
    Network = union(NetworkSettings, CustomNetwork)
