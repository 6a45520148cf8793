"""Local-Net: label-reg's encoder-decoder whose displacement heads are summed over levels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from tenter import config
from tenter.networks import blocks, normalisation, outputs, parity

HALVINGS = 4


class LocalNet(outputs.DenseNet):
    """The graph of Hu et al., Medical Image Analysis 49 (2018), as in its code label-reg.

    Four residual encoder blocks (7 x 7 x 7 in the first convolution, 3 x 3 x 3 in all others),
    a bottom convolution, and decoder blocks up to the finest level that has a head. Heads
    are initially zero; their outputs are resized to full resolution and summed.
    With 32 channels and all levels there are 18 906 351 weights, whatever the normalisation.

    With `parity` voxels are aligned as by TensorFlow in label-reg; otherwise resized and
    transposed grids share their centre, so that nothing drifts towards a corner.
    """

    def __init__(
        self, settings: config.LocalNetwork, channels: tuple[int, int], dimensions: int = 3
    ) -> None:
        """Draw the weights.

        Args:
            settings: channels at full resolution, levels with a head, normalisation, output,
                parity.
            channels: of the moving and of the fixed image.
            dimensions: 3, or 2.
        """
        super().__init__()
        norm: normalisation.Kind = "label-reg" if settings.parity else settings.norm
        widths = [settings.channels * 2**level for level in range(HALVINGS + 1)]
        self.encoder = nn.ModuleList(
            blocks.ResidualDown(inputs, width, norm, kernel=kernel, dimensions=dimensions)
            for inputs, width, kernel in zip(
                [sum(channels), *widths], widths[:-1], [7, 3, 3, 3], strict=False
            )
        )
        self.bottom = blocks.Convolution(widths[-2], widths[-1], norm, dimensions=dimensions)
        # Coarse to fine; no level finer than the finest head is built.
        self.decoder = nn.ModuleList(
            AdditiveUp(inputs, width, norm, dimensions, seed=settings.parity)
            for inputs, width in itertools.pairwise(reversed(widths[min(settings.levels) :]))
        )
        self.heads = nn.ModuleDict(
            {
                str(level): blocks.FieldHead(widths[level], dimensions)
                for level in sorted(set(settings.levels))
            }
        )
        self.output = outputs.Output(settings, parity.resize if settings.parity else blocks.resize)

    def predicted(
        self, moving: Float[Tensor, "b m *space"], fixed: Float[Tensor, "b f *space"]
    ) -> outputs.Heads:
        """Each head's prediction, finest first."""
        features = blocks.side_by_side(moving, fixed)
        skips = []
        for down in self.encoder:
            skip, features = down(features)
            skips.append(skip)
        levels = {HALVINGS: self.bottom(features)}
        for level, up in zip(reversed(range(HALVINGS)), self.decoder, strict=False):
            levels[level] = up(levels[level + 1], skips[level])
        return [head(levels[int(level)]) for level, head in self.heads.items()]


class AdditiveUp(nn.Module):
    """label-reg's decoder block: a transposed convolution plus the resized input, a residual unit.

    The residual unit's convolutions take the features before the skip is added; the skip only
    enters the residual sum.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        norm: normalisation.Kind,
        dimensions: int = 3,
        *,
        seed: bool = False,
    ) -> None:
        """Draw the weights; `seed` is whether voxels are aligned as in label-reg."""
        super().__init__()
        self.seed = seed
        self.transposed = blocks.TRANSPOSED[dimensions](
            inputs, outputs, 3, stride=2, padding=1, bias=False
        )
        nn.init.xavier_uniform_(self.transposed.weight)
        self.normalisation = normalisation.Normalisation(outputs, norm, linear=False)
        self.first = blocks.Convolution(outputs, outputs, norm, dimensions=dimensions)
        self.second = blocks.Convolution(outputs, outputs, norm, linear=True, dimensions=dimensions)

    def forward(
        self, features: Float[Tensor, "b i *half"], skip: Float[Tensor, "b o *space"]
    ) -> Float[Tensor, "b o *space"]:
        """`[b, 2 o, *space / 2]` and the skip to `[b, o, *space]`."""
        shape = skip.shape[2:]
        raised = blocks.convolve(lambda inputs: self._transpose(inputs, shape), features, kernel=3)
        # Both are linear, so the channel halves are summed first: half as much to resize.
        first, second = features.chunk(2, dim=1)
        resized = (parity.resize if self.seed else blocks.resize)(first + second, shape)
        raised = blocks.normalised_again(
            lambda convolved: self.normalisation(convolved) + resized, self.normalisation, raised
        )
        return blocks.residual(self.first, self.second, raised).add_(raised).add_(skip).relu_()

    def _transpose(self, features: Tensor, shape: Sequence[int]) -> Tensor:
        if self.seed:
            return parity.transposed(self.transposed, features, shape)
        raised: Tensor = self.transposed(features, output_size=list(shape))
        return raised
