# ruff: noqa: N999 - named as in the configuration
"""Global-Net: label-reg's encoder that predicts one affine map."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from tenter import config
from tenter.errors import TrainingError
from tenter.networks import blocks, normalisation, parity
from tenter.records import Fault
from tenter.spatial import affine, slices
from tenter.tensors import Affine, Field

HALVINGS = 4
CELLS = 2


class GlobalNet(nn.Module):
    """The encoder of Hu et al. (2018) with a head for images of any size.

    label-reg flattens the last features, which ties its weights to one size and its map to
    the grid's corner. Here they are averaged over the 2 x 2 x 2 octants of the grid, enough to
    encode position (a mean over all voxels is not), and one linear layer, initially zero, gives
    the change from identity; `tanh` keeps each entry within `bound`. The layer's sum is divided
    by the root of its number of terms: an optimiser such as Adam moves all of its weights by
    equal steps, which would otherwise make the map jump from bound to bound.
    With `finest: 1` the images are resized by half and enter at the second block.

    With `parity` the head is label-reg's: one layer from all features to the matrix in voxel
    coordinates, which is initially the identity.
    """

    def __init__(
        self, settings: config.GlobalNetwork, channels: tuple[int, int], dimensions: int = 3
    ) -> None:
        """Draw the weights.

        Args:
            settings: channels at full resolution, finest level, normalisation, bound, parity, size.
            channels: of the moving and of the fixed image.
            dimensions: 3, or 2.
        """
        super().__init__()
        norm: normalisation.Kind = "label-reg" if settings.parity else settings.norm
        widths = [settings.channels * 2**level for level in range(settings.finest, HALVINGS + 1)]
        self.bound = settings.bound
        self.halved = settings.finest > 0
        self.size = _size(settings.size, dimensions)
        self.encoder = nn.ModuleList(
            blocks.ResidualDown(inputs, outputs, norm, kernel=kernel, dimensions=dimensions)
            for inputs, outputs, kernel in zip(
                [sum(channels), *widths], widths[:-1], [7, 3, 3, 3], strict=False
            )
        )
        self.bottom = blocks.Convolution(widths[-2], widths[-1], norm, dimensions=dimensions)
        cells = (
            [-(-size // 2**HALVINGS) for size in self.size] if self.size else [CELLS] * dimensions
        )
        self.head = nn.Linear(widths[-1] * math.prod(cells), dimensions * (dimensions + 1))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        if self.size:
            nn.init.eye_(self.head.bias.view(dimensions, dimensions + 1))

    def forward(
        self, moving: Float[Tensor, "b m *space"], fixed: Float[Tensor, "b f *space"]
    ) -> Field:
        """The affine map's field in voxels, `[b, d, *space]`."""
        return affine.displacement(self.affine_map(moving, fixed), fixed.shape[2:])

    def affine_map(
        self, moving: Float[Tensor, "b m *space"], fixed: Float[Tensor, "b f *space"]
    ) -> Affine:
        """The map in the grid's normalised centred coordinates, `[b, d + 1, d + 1]`.

        Raises:
            TrainingError: the network's weights fit another grid size only.
        """
        shape = tuple(fixed.shape[2:])
        features = blocks.side_by_side(moving, fixed)
        if self.halved:
            features = blocks.resize(features, [(size + 1) // 2 for size in shape])
        for down in self.encoder:
            _, features = down(features)
        features = self.bottom(features)
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(self.head.weight.dtype)
            change = self._bounded(features) if self.size is None else self._tied(features, shape)
        change = functional.pad(change, (0, 0, 0, 1))
        return change + torch.eye(len(shape) + 1, dtype=change.dtype, device=change.device)

    def _bounded(self, features: Float[Tensor, "b c *cells"]) -> Float[Tensor, "b d e"]:
        """The matrix's change from identity, less its last row."""
        dimensions = features.ndim - 2
        pool = functional.adaptive_avg_pool3d if dimensions == 3 else functional.adaptive_avg_pool2d
        terms = pool(features, CELLS).flatten(1)
        change = self.bound * torch.tanh(self.head(terms / math.sqrt(terms.shape[1])))
        return change.view(-1, dimensions, dimensions + 1)

    def _tied(
        self, features: Float[Tensor, "b c *cells"], shape: tuple[int, ...]
    ) -> Float[Tensor, "b d e"]:
        """The same, from label-reg's head."""
        if shape != self.size:
            network_size, grid_size = (
                " x ".join(map(str, sizes)) for sizes in (self.size or (), shape)
            )
            message = f"is tied to {network_size} voxels and the grid has {grid_size}"
            fix = "set the network's `size` to the shape of the plan, or leave out `parity`"
            raise TrainingError(Fault("global network", message, fix))
        rows = self.head(features.flatten(1)).view(-1, len(shape), len(shape) + 1)
        return parity.centred_change(rows, shape)


def _size(size: tuple[int, ...] | None, dimensions: int) -> tuple[int, ...] | None:
    """The grid size that a network is tied to; for a slice without the axis of one voxel."""
    axis = None if size is None or dimensions == 3 else slices.normal(size)
    return size if size is None or axis is None else size[:axis] + size[axis + 1 :]
