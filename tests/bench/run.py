"""Speed beside peers: each figure a ratio to a peer run in the same minutes, one after the other.

`make bench` prints a table and writes bench.json below results/bench.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from monai.losses.deform import BendingEnergyLoss
from monai.losses.dice import DiceLoss
from monai.losses.multi_scale import MultiScaleLoss
from monai.networks.blocks.warp import Warp
from monai.networks.nets.regunet import LocalNet
from torch import Tensor

from tenter import files, losses, networks
from tenter.config import BendingLoss, LabelLoss, LocalNetwork
from tenter.spatial import warp

SCALES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)


@dataclass(frozen=True)
class Figure:
    """One comparison: medians in seconds, and the median of the ratios pair by pair."""

    what: str
    ours_s: float
    peer_s: float
    ratio: float


def compare(what: str, ours: Callable[[], object], peer: Callable[[], object], runs: int) -> Figure:
    """Run both in turn, after one warm-up each."""
    ours()
    peer()
    times = [(seconds(ours), seconds(peer)) for _ in range(runs)]
    return Figure(
        what,
        statistics.median(a for a, _ in times),
        statistics.median(b for _, b in times),
        statistics.median(a / b for a, b in times),
    )


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def label_loss(size: int, runs: int) -> Figure:
    """Multi-scale Dice, forward and backward."""
    fixed = torch.rand(2, 1, size, size, size)
    warped = torch.rand_like(fixed).requires_grad_()
    weights = torch.ones(2, 1)
    ours = losses.label_loss(LabelLoss(scales_mm=SCALES), (1.0, 1.0, 1.0))
    peer = MultiScaleLoss(DiceLoss(), scales=list(SCALES))
    return compare(
        "multi-scale Dice, forward and backward",
        lambda: torch.autograd.backward(ours(warped, fixed, weights)),
        lambda: torch.autograd.backward(peer(warped, fixed)),
        runs,
    )


def training_step(size: int, channels: int, runs: int) -> Figure:
    """label-reg's network and losses, against MONAI's recipe with equal channels."""
    moving, fixed = torch.rand(2, 1, size, size, size), torch.rand(2, 1, size, size, size)
    moving_label, fixed_label = (torch.rand(2, 1, size, size, size) for _ in range(2))
    weights = torch.ones(2, 1)
    network = networks.build(LocalNetwork(channels=channels), 2)
    label = losses.label_loss(LabelLoss(scales_mm=SCALES), (1.0, 1.0, 1.0))
    bending = losses.regulariser(BendingLoss(units="voxel"), (1.0, 1.0, 1.0))

    def ours() -> None:
        field = network(moving, fixed)
        warped = warp.warp(moving_label, field, padding="zeros")
        torch.autograd.backward(label(warped, fixed_label, weights) + 0.5 * bending(field))

    levels = (0, 1, 2, 3, 4)
    theirs = LocalNet(
        spatial_dims=3,
        in_channels=2,
        out_channels=3,
        num_channel_initial=channels,
        extract_levels=levels,  # type: ignore[arg-type] # MONAI means a tuple of any length
    )
    peer_label, peer_bending, peer_warp = (
        MultiScaleLoss(DiceLoss(), scales=list(SCALES)),
        BendingEnergyLoss(),
        Warp(),
    )

    def peer() -> None:
        field: Tensor = theirs(torch.cat([moving, fixed], dim=1))
        warped = peer_warp(moving_label, field)
        torch.autograd.backward(peer_label(warped, fixed_label) + 0.5 * peer_bending(field))

    return compare(f"training step, Local-Net of {channels} channels, {size}^3, batch 2", ours, peer, runs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each")
    parser.add_argument("--size", type=int, default=32, help="voxels along each axis")
    parser.add_argument("--channels", type=int, default=8, help="channels at full resolution")
    parser.add_argument("--output", type=Path, default=Path("results/bench/bench.json"))
    chosen = parser.parse_args()
    figures = [
        label_loss(chosen.size, chosen.runs),
        training_step(chosen.size, chosen.channels, chosen.runs),
    ]
    load = os.getloadavg()[0]
    machine = {"threads": torch.get_num_threads(), "load": load, "torch": torch.__version__}
    files.write_json(chosen.output, {"machine": machine, "figures": [asdict(item) for item in figures]})
    sys.stdout.write(f"{torch.get_num_threads()} threads, load {load:.1f}\n")
    for item in figures:
        sys.stdout.write(f"{item.ratio:8.4f}  {item.ours_s:8.3f} s  {item.peer_s:8.3f} s  {item.what}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
