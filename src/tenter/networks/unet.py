"""U-Net: a small, fast encoder-decoder with one displacement head."""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tenter import config
from tenter.config.networks import Norm
from tenter.networks import blocks, outputs


class UNet(outputs.DenseNet):
    """After Ronneberger et al., MICCAI 2015, with fewer channels at fine levels.

    Two convolutions per level on the way down, the first strided; on the way up one, after
    one that halves the channels of the coarse features before they are resized. If the finest
    level is at half resolution, the field is resized, as in VoxelMorph (Balakrishnan et al.,
    IEEE TMI 38, 2019): deformations are smoother than images.
    """

    def __init__(
        self, settings: config.UNetNetwork, channels: tuple[int, int], dimensions: int = 3
    ) -> None:
        """Draw the weights.

        Args:
            settings: channels at full resolution, halvings, finest level, normalisation, output.
            channels: of the moving and of the fixed image.
            dimensions: 3, or 2.
        """
        super().__init__()
        norm = settings.norm
        widths = [
            settings.channels * 2**level for level in range(settings.finest, settings.depth + 1)
        ]
        self.encoder = nn.ModuleList(
            nn.Sequential(
                blocks.Convolution(inputs, width, norm, stride=stride, dimensions=dimensions),
                blocks.Convolution(width, width, norm, dimensions=dimensions),
            )
            for inputs, width, stride in zip(
                [sum(channels), *widths],
                widths,
                [1 + settings.finest] + [2] * len(widths),
                strict=False,
            )
        )
        self.decoder = nn.ModuleList(
            ConcatenatingUp(inputs, width, norm, dimensions)
            for inputs, width in itertools.pairwise(reversed(widths))
        )
        self.head = blocks.FieldHead(widths[0], dimensions)
        self.output = outputs.Output(settings)

    def predicted(
        self, moving: Float[Tensor, "b m *space"], fixed: Float[Tensor, "b f *space"]
    ) -> outputs.Heads:
        """The head's prediction."""
        features = blocks.side_by_side(moving, fixed)
        skips = []
        for down in self.encoder:
            features = down(features)
            skips.append(features)
        for up, skip in zip(self.decoder, reversed(skips[:-1]), strict=True):
            features = up(features, skip)
        return [self.head(features)]


class ConcatenatingUp(nn.Module):
    """Reduce the channels of the coarse features, resize them, and merge them with the skip."""

    def __init__(self, inputs: int, outputs: int, norm: Norm, dimensions: int = 3) -> None:
        """Draw the weights."""
        super().__init__()
        self.narrow = blocks.Convolution(inputs, outputs, norm, dimensions=dimensions)
        self.merge = blocks.Convolution(2 * outputs, outputs, norm, dimensions=dimensions)

    def forward(
        self, features: Float[Tensor, "b i *half"], skip: Float[Tensor, "b o *space"]
    ) -> Float[Tensor, "b o *space"]:
        """`[b, i, *space / 2]` and the skip `[b, o, *space]` to `[b, o, *space]`."""
        raised = blocks.resize(self.narrow(features), skip.shape[2:])
        merged: Tensor = self.merge(torch.cat([raised, skip], dim=1))
        return merged
