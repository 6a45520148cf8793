"""Keypoint network: points detected in each image separately, and the affine map that fits them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from tenter import config
from tenter.config.networks import Norm
from tenter.networks import blocks, channels_last
from tenter.spatial import affine
from tenter.tensors import Affine, Field

Places = Float[Tensor, "b k d"]
"""Points of each sample in the grid's normalised centred coordinates."""

Weights = Float[Tensor, "b k"]
"""Weight of each point of each sample."""


class KeypointNet(nn.Module):
    """After KeyMorph (Yu et al., MIDL 2022; Wang et al., Medical Image Analysis 90, 2023).

    Each side has its own encoder-decoder, as the sides differ in modality. Its heatmaps become
    points: the centres of mass of their softmax over the voxels. The k-th points of both sides
    correspond, and the affine map is fitted to them in closed form. The network therefore learns
    to locate structures, not to predict maps, and it never sees the two images together, which
    makes it hard to memorise training pairs. Differences from KeyMorph: each pair of points is
    weighted by how concentrated both heatmaps are, and a ridge term draws the fit towards a pure
    translation, since initially all points lie near the centre. One learnt factor sharpens all
    heatmaps.
    """

    def __init__(
        self, settings: config.KeypointNetwork, channels: tuple[int, int], dimensions: int = 3
    ) -> None:
        """Draw the weights.

        Args:
            settings: channels, points, halvings, finest level, ridge, normalisation.
            channels: of the moving and of the fixed image.
            dimensions: 3, or 2.
        """
        super().__init__()
        self.moving = Heatmaps(settings, channels[0], dimensions)
        self.fixed = Heatmaps(settings, channels[1], dimensions)
        self.sharpness = nn.Parameter(torch.ones(1))
        self.stride = 1 + settings.finest
        self.ridge = settings.ridge

    def forward(
        self, moving: Float[Tensor, "b m *space"], fixed: Float[Tensor, "b f *space"]
    ) -> Field:
        """The affine map's field in voxels, `[b, d, *space]`."""
        return affine.displacement(self.affine_map(moving, fixed), fixed.shape[2:])

    def affine_map(
        self, moving: Float[Tensor, "b m *space"], fixed: Float[Tensor, "b f *space"]
    ) -> Affine:
        """The map in the grid's normalised centred coordinates, `[b, d + 1, d + 1]`."""
        moving_points, fixed_points, weights = self.pairs(moving, fixed)
        with torch.autocast(fixed.device.type, enabled=False):
            return affine_fit(fixed_points, moving_points, weights, self.ridge)

    def pairs(
        self, moving: Float[Tensor, "b m *space"], fixed: Float[Tensor, "b f *space"]
    ) -> tuple[Places, Places, Weights]:
        """Moving and fixed points, `[b, k, d]` in normalised coordinates, and weights `[b, k]`."""
        shape = fixed.shape[2:]
        moving_maps, fixed_maps = self.moving(moving), self.fixed(fixed)
        with torch.autocast(fixed.device.type, enabled=False):
            moving_points, moving_weights = soft_centres(
                moving_maps * self.sharpness, shape, self.stride
            )
            fixed_points, fixed_weights = soft_centres(
                fixed_maps * self.sharpness, shape, self.stride
            )
            weights = (moving_weights * fixed_weights).sqrt()
            return moving_points, fixed_points, weights / weights.sum(1, keepdim=True)


class Heatmaps(nn.Module):
    """One side's encoder-decoder, from an image to float32 heatmaps, one per point.

    Two convolutions per level on the way down; on the way up one, after the coarser features are
    resized and concatenated with the skip.
    """

    def __init__(self, settings: config.KeypointNetwork, inputs: int, dimensions: int = 3) -> None:
        """Draw the weights; the head's as PyTorch does by default."""
        super().__init__()
        norm = settings.norm
        widths = [settings.channels * 2**level for level in range(settings.depth + 1)]
        self.encoder = nn.ModuleList(
            _level(before, width, norm, stride=stride, dimensions=dimensions)
            for before, width, stride in zip(
                [inputs, *widths],
                widths,
                [1 + settings.finest] + [2] * settings.depth,
                strict=False,
            )
        )
        self.decoder = nn.ModuleList()
        below = widths[-1]
        for width in reversed(widths[:-1]):
            # The finest level has as many channels as the one below it, as it yields many maps.
            outputs = max(width, widths[1])
            self.decoder.append(
                blocks.Convolution(width + below, outputs, norm, dimensions=dimensions)
            )
            below = outputs
        self.head = blocks.CONVOLUTION[dimensions](below, settings.points, 3, padding=1, bias=False)

    def forward(self, image: Float[Tensor, "b c *space"]) -> Float[Tensor, "b k *cells"]:
        """`[b, c, *space]` to `[b, k, *cells]`; cell i is at voxel i, or 2 i at half resolution."""
        features = channels_last.laid_out(image)
        skips = []
        for down in self.encoder:
            features = down(features)
            skips.append(features)
        for up, skip in zip(self.decoder, reversed(skips[:-1]), strict=True):
            features = up(torch.cat([skip, blocks.resize(features, skip.shape[2:])], dim=1))
        with torch.autocast(features.device.type, enabled=False):
            maps: Tensor = self.head(features.to(self.head.weight.dtype))
            return maps


def _level(inputs: int, outputs: int, norm: Norm, *, stride: int, dimensions: int) -> nn.Sequential:
    return nn.Sequential(
        blocks.Convolution(inputs, outputs, norm, stride=stride, dimensions=dimensions),
        blocks.Convolution(outputs, outputs, norm, dimensions=dimensions),
    )


def soft_centres(
    logits: Float[Tensor, "b k *cells"], shape: Sequence[int], stride: int
) -> tuple[Places, Weights]:
    """Centres of mass and concentration of the heatmaps' softmax; differentiable.

    Args:
        logits: `[b, k, *cells]`.
        shape: voxels along each axis of the grid.
        stride: voxels from cell to cell; the first cell lies on the first voxel.

    Returns:
        centres `[b, k, d]`, where -1 and 1 are the grid's outermost voxel centres; and the sum of
        squared probabilities `[b, k]`: 1 if one cell has all, 1 / n if n cells have equal shares.
    """
    lines = [
        (stride * torch.arange(cells, dtype=logits.dtype, device=logits.device) - (size - 1) / 2)
        / (max(size - 1, 1) / 2)
        for cells, size in zip(logits.shape[2:], shape, strict=True)
    ]
    coordinates = torch.stack(torch.meshgrid(*lines, indexing="ij"), dim=-1).flatten(0, -2)
    shares = torch.softmax(logits.flatten(2), dim=2)
    return shares @ coordinates, shares.square().sum(dim=2)


def affine_fit(source: Places, target: Places, weights: Weights, ridge: float) -> Affine:
    """The affine map between two point sets, by least squares with a ridge towards a translation.

    It minimises sum_k w_k |A x_k + t - y_k|² + ridge |A - 1|², whose solution is
    A = (sum w y' x'^T + ridge) (sum w x' x'^T + ridge)^-1 on points about their weighted
    centroids; t maps one centroid to the other. Differentiable in points and weights.

    Args:
        source: points x, `[b, k, d]`.
        target: points y, `[b, k, d]`.
        weights: `[b, k]`, of sum 1.
        ridge: above 0, in squared units of the points.

    Returns:
        `[b, d + 1, d + 1]` homogeneous.
    """
    share = weights[..., None]
    start, end = (share * source).sum(1, keepdim=True), (share * target).sum(1, keepdim=True)
    weighted, target = (share * (source - start)).mT, target - end
    dimensions = source.shape[2]
    extra = ridge * torch.eye(dimensions, dtype=source.dtype, device=source.device)
    # Positive definite by the ridge: skip the check, which would synchronise with a GPU.
    solution = torch.linalg.solve_ex(weighted @ (source - start) + extra, weighted @ target + extra)
    linear = solution.result.mT
    shift = end - start @ linear.mT
    rows = torch.cat([linear, shift.mT], dim=2)
    last = functional.pad(rows.new_ones(len(rows), 1, 1), (dimensions, 0))
    return torch.cat([rows, last], dim=1)
