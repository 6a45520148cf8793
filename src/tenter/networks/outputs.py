"""Interpretation of a dense network's heads: displacement, velocity, or spline control points."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tenter import config
from tenter.networks import blocks
from tenter.spatial import bspline, constants, integrate
from tenter.tensors import Field

Heads = Sequence[Float[Tensor, "b d ..."]]
"""Each head's prediction, finest first."""

Resize = Callable[[Tensor, Sequence[int]], Tensor]


class Output:
    """Combines a network's heads into a field; their values are summed over levels."""

    def __init__(self, settings: config.FieldNetwork, resize: Resize = blocks.resize) -> None:
        """Store how the heads are interpreted.

        Args:
            settings: the kind of output and its parameters.
            resize: resizes a displacement to full resolution.
        """
        self.settings = settings
        self.resize = resize

    def __call__(self, heads: Heads, shape: Sequence[int]) -> Field:
        """The displacement field.

        Args:
            heads: each head's prediction, `[b, d, *cells]`, finest first; in voxels of the result.
            shape: voxels along each axis of the result.

        Returns:
            `[b, d, *shape]`, voxels.
        """
        if self.settings.output == "displacement":
            return _sum([self.resize(head, shape) for head in heads])
        if self.settings.output == "velocity":
            return self.flow(velocity(heads), shape)
        with torch.autocast(heads[0].device.type, enabled=False):
            return spline(heads, shape, self.settings.control_spacing)

    def flow(self, velocity: Float[Tensor, "b d *cells"], shape: Sequence[int]) -> Field:
        """The displacement `[b, d, *shape]` of a `velocity`, with the configured squarings."""
        with torch.autocast(velocity.device.type, enabled=False):
            return flow(velocity, shape, self.settings.squarings)


class DenseNet(nn.Module):
    """Base class of networks whose heads are interpreted by an `Output`."""

    output: Output

    def predicted(
        self, moving: Float[Tensor, "b m *space"], fixed: Float[Tensor, "b f *space"]
    ) -> Heads:
        """Each head's prediction for images on one grid of any size, finest first."""
        raise NotImplementedError

    def forward(
        self, moving: Float[Tensor, "b m *space"], fixed: Float[Tensor, "b f *space"]
    ) -> Field:
        """The field in voxels, `[b, d, *space]`, of images on one grid of any size."""
        return self.output(self.predicted(moving, fixed), fixed.shape[2:])

    def velocity(
        self, moving: Float[Tensor, "b m *space"], fixed: Float[Tensor, "b f *space"]
    ) -> Float[Tensor, "b d *cells"]:
        """The velocity that `output.flow` integrates to the field, if a velocity is predicted."""
        return velocity(self.predicted(moving, fixed))


def velocity(heads: Heads) -> Float[Tensor, "b d *cells"]:
    """Stationary velocities summed on the finest head's grid, image voxels per unit time."""
    cells = heads[0].shape[2:]
    with torch.autocast(heads[0].device.type, enabled=False):
        return _sum(
            [head if head.shape[2:] == cells else blocks.resize(head, cells) for head in heads]
        )


def flow(velocity: Float[Tensor, "b d *cells"], shape: Sequence[int], squarings: int) -> Field:
    """Integrate a stationary velocity on the finest head's own grid: cheaper, and with fewer folds.

    After Dalca et al., Unsupervised learning of probabilistic diffeomorphic registration for images
    and surfaces, Medical Image Analysis 57 (2019).

    Args:
        velocity: `[b, d, *cells]`, voxels of the result per unit time.
        shape: voxels along each axis of the result.
        squarings: number of squarings; the first step is 2^-squarings of the time.

    Returns:
        the displacement `[b, d, *shape]`, voxels.
    """
    cells = velocity.shape[2:]
    if tuple(cells) == tuple(shape):
        return integrate.integrate(velocity, squarings)
    share = _shares(cells, shape, velocity)
    return blocks.resize(integrate.integrate(velocity * share, squarings), shape) / share


def spline(heads: Heads, shape: Sequence[int], spacing: int) -> Field:
    """A uniform cubic B-spline whose control displacements are read from the heads.

    The control points lie at equal distances about the grid's centre, two beyond either end, where
    they take the outermost voxels' values. A control point's value is a weighted average around
    it whose weights fall to zero at the next one; values of coarser heads are interpolated.

    Args:
        heads: displacements `[b, d, *cells]`, voxels of the result.
        shape: voxels along each axis of the result.
        spacing: distance of control points, voxels.

    Returns:
        `[b, d, *shape]`, voxels.
    """
    spacings = [float(spacing)] * len(shape)
    lattice = bspline.lattice(shape, spacings)
    controls = _sum([control_values(head, lattice, shape, spacing) for head in heads])
    return bspline.spline(controls, spacings, shape)


def control_values(
    head: Float[Tensor, "b c *cells"], lattice: Sequence[int], shape: Sequence[int], spacing: int
) -> Float[Tensor, "b c *points"]:
    """A head's values at the points of a lattice that is centred on the grid.

    Args:
        head: `[b, c, *cells]`, its cells tile the grid.
        lattice: control points along each axis.
        shape: voxels along each axis of the grid.
        spacing: distance of control points, voxels.

    Returns:
        `[b, c, *lattice]`.
    """
    matrices = [
        _averages(cells, count, size, spacing, head.device)
        for cells, count, size in zip(head.shape[2:], lattice, shape, strict=True)
    ]
    return blocks.along_axes(head, matrices)


def _averages(
    cells: int, count: int, size: int, spacing: int, device: torch.device
) -> Float[Tensor, "n k"]:
    """Each control point's weights for the cells of a line; they sum to 1."""
    pitch = size / cells
    first = (pitch - 1) / 2
    centres = torch.arange(cells, device=device) * pitch + first
    points = (torch.arange(count, device=device) - (count - 1) / 2) * spacing + (size - 1) / 2
    points = points.clamp(first, size - 1 - first)
    tents = (1 - (points[:, None] - centres).abs() / max(pitch, spacing)).clamp(min=0)
    return tents / tents.sum(dim=1, keepdim=True)


def _shares(cells: Sequence[int], shape: Sequence[int], like: Field) -> Tensor:
    """Cells per voxel along each axis, as a factor for a field."""
    shares = [inside / outside for inside, outside in zip(cells, shape, strict=True)]
    return constants.numbers(shares, like).view(1, -1, *[1] * len(shape))


def _sum(fields: Sequence[Field]) -> Field:
    return fields[0] if len(fields) == 1 else torch.stack(list(fields)).sum(dim=0)
