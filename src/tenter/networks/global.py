"""Global-Net: label-reg's encoder that predicts one affine map, about the grid's centre."""  # noqa: N999 - named as in the configuration

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from tenter import config
from tenter.networks import blocks
from tenter.shapes import Affine, Field
from tenter.spatial import affine

HALVINGS = 4
CELLS = 2


class GlobalNet(nn.Module):
    """The encoder of Hu et al. (2018) with a head that fits any size of image.

    label-reg flattens the last features, which ties its weights to one size and its map to
    the grid's corner. Here they are averaged over the 2 x 2 x 2 octants of the grid, enough to
    say where something lies (a mean over all voxels is not), and one linear layer, zero at
    first, gives the change from identity; `tanh` keeps each entry within `bound`. The layer's
    sum is divided by the root of its number of terms: an optimiser such as Adam moves all of
    its weights by equal steps, which would otherwise throw the map from bound to bound.
    With `finest: 1` the images are halved and enter at the second block.
    """

    def __init__(self, settings: config.GlobalNetwork, channels: int, dimensions: int = 3) -> None:
        """Draw the weights.

        Args:
            settings: channels at full resolution, finest level, normalisation, bound.
            channels: of the moving and the fixed image together.
            dimensions: 3, or 2.
        """
        super().__init__()
        widths = [settings.channels * 2**level for level in range(settings.finest, HALVINGS + 1)]
        self.bound = settings.bound
        self.halved = settings.finest > 0
        self.encoder = nn.ModuleList(
            blocks.ResidualDown(inputs, outputs, settings.norm, kernel=kernel, dimensions=dimensions)
            for inputs, outputs, kernel in zip([channels, *widths], widths[:-1], [7, 3, 3, 3], strict=False)
        )
        self.bottom = blocks.Convolution(widths[-2], widths[-1], settings.norm, dimensions=dimensions)
        self.head = nn.Linear(widths[-1] * CELLS**dimensions, dimensions * (dimensions + 1))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, moving: Float[Tensor, "b m *space"], fixed: Float[Tensor, "b f *space"]) -> Field:
        """The affine map's field in voxels, `[b, d, *space]`."""
        return affine.displacement(self.affine_map(moving, fixed), fixed.shape[2:])

    def affine_map(self, moving: Float[Tensor, "b m *space"], fixed: Float[Tensor, "b f *space"]) -> Affine:
        """The map in the grid's normalised centred coordinates, `[b, d + 1, d + 1]`."""
        dimensions = fixed.ndim - 2
        features = blocks.side_by_side(moving, fixed)
        if self.halved:
            features = blocks.resize(features, [(size + 1) // 2 for size in fixed.shape[2:]])
        for down in self.encoder:
            _, features = down(features)
        pool = functional.adaptive_avg_pool3d if dimensions == 3 else functional.adaptive_avg_pool2d
        cells = pool(self.bottom(features), CELLS)
        with torch.autocast(cells.device.type, enabled=False):
            terms = cells.flatten(1).float()
            change = self.bound * torch.tanh(self.head(terms / math.sqrt(terms.shape[1])))
        change = functional.pad(change.view(-1, dimensions, dimensions + 1), (0, 0, 0, 1))
        return change + torch.eye(dimensions + 1, dtype=change.dtype, device=change.device)
