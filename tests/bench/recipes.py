"""One training step of label-reg's method: tenter's, and the same from MONAI's parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.losses.deform import BendingEnergyLoss
from monai.losses.dice import DiceLoss
from monai.losses.multi_scale import MultiScaleLoss
from monai.networks.blocks.warp import Warp
from monai.networks.nets.regunet import LocalNet
from torch import Tensor, nn

from tenter import networks
from tenter.config import TrainSettings
from tenter.records import Label
from tenter.sampling import batches, draws
from tenter.sampling.cohort import Box, Case
from tenter.training.step import Learner

SCALES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
SPACING = (1.0, 1.0, 1.0)
PAIRS = 8

Step = Callable[[], object]


def settings(channels: int, batch: int, **changed: Any) -> TrainSettings:
    """label-reg's network, losses and augmentation; keys of `training` by name, `network` whole."""
    network = changed.pop("network", {"name": "local", "channels": channels})
    training = {"steps": 1000, "batch": batch, "learning_rate": 1e-5, **changed}
    return TrainSettings.model_validate(
        {
            "network": network,
            "losses": {
                "labels": [{"name": "dice", "scales_voxel": SCALES}],
                "regularisers": [{"name": "bending", "units": "voxel", "weight": 0.5}],
            },
            "augmentation": {"affine": 0.1},
            "validation": {"fraction": 0},
            "training": training,
            "seed": 0,
            "warm_start": None,
        }
    )


def cohort(size: int, device: torch.device, pairs: int = PAIRS) -> tuple[Case, ...]:
    """Pairs of noise in memory, each with one label that fills an eighth of the grid."""
    random = torch.Generator().manual_seed(0)
    half = size // 2
    boxes = [
        tuple(
            Box((size // 4,) * 3, torch.full((half,) * 3, 255, dtype=torch.uint8, device=device))
            for _ in range(2)
        )
        for _ in range(pairs)
    ]
    return tuple(
        Case(
            f"p{index}",
            (f"p{index}",),
            tuple(  # type: ignore[arg-type]
                torch.rand(1, size, size, size, generator=random).to(device) for _ in range(2)
            ),
            (Label("gland", 1, "structure"),),
            (box,),  # type: ignore[arg-type]
        )
        for index, box in enumerate(boxes)
    )


class Ours:
    """tenter's step: drawn, augmented, learnt from, as the training loop does it."""

    def __init__(
        self, chosen: TrainSettings, cases: tuple[Case, ...], device: torch.device
    ) -> None:
        torch.manual_seed(0)
        self.device, self.cases, self.settings = device, cases, chosen
        self.network: nn.Module = networks.build(chosen.network, (1, 1)).to(device)
        self.learner = Learner(self.network, chosen, SPACING)
        self.outline = draws.outline(cases, SPACING)
        self.done = 0

    def batch(self) -> batches.Batch:
        drawn = draws.draw(self.outline, self.settings, fold="0", step=self.done)
        return batches.apply(drawn, self.cases, self.device)

    def step(self) -> None:
        self.learner.learn(self.batch(), self.done)
        self.done += 1
        if self.done % 50 == 0:
            self.learner.means()


class Theirs:
    """MONAI's Local-Net, warp and losses with Adam; nothing is drawn, augmented or guarded."""

    def __init__(self, channels: int, batch: int, size: int, device: torch.device) -> None:
        torch.manual_seed(0)
        shape = (batch, 1, size, size, size)
        self.moving, self.fixed, self.moving_label, self.fixed_label = (
            torch.rand(shape, device=device) for _ in range(4)
        )
        levels: Any = (0, 1, 2, 3, 4)
        self.network = LocalNet(
            spatial_dims=3,
            in_channels=2,
            out_channels=3,
            num_channel_initial=channels,
            extract_levels=levels,
        ).to(device)
        self.label, self.bending, self.warp = multi_scale_dice(), BendingEnergyLoss(), Warp()
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=1e-5)

    def step(self) -> None:
        self.optimiser.zero_grad()
        field: Tensor = self.network(torch.cat([self.moving, self.fixed], dim=1))
        warped = self.warp(self.moving_label, field)
        torch.autograd.backward(self.label(warped, self.fixed_label) + 0.5 * self.bending(field))
        self.optimiser.step()


def multi_scale_dice() -> Callable[[Tensor, Tensor], Tensor]:
    """MONAI's, at label-reg's scales."""
    loss: Callable[[Tensor, Tensor], Tensor] = MultiScaleLoss(DiceLoss(), scales=list(SCALES))
    return loss
