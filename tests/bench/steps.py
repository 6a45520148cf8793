"""A training step: its time, its memory, and what of it is not the network."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from measuring import Figure, from_times, in_turn, load, seconds
from recipes import SCALES, SPACING, Ours, Theirs, cohort, multi_scale_dice, settings
from torch import Tensor, nn

from tenter import losses
from tenter.config import LabelLoss
from tenter.networks import blocks

DEFAULT = {"name": "unet", "channels": 16}


@dataclass(frozen=True)
class Size:
    """Of a step: channels at full resolution, voxels along each axis, pairs."""

    channels: int
    size: int
    batch: int
    runs: int
    device: torch.device

    def ours(self, **changed: object) -> Ours:
        return Ours(
            settings(self.channels, self.batch, **changed),
            cohort(self.size, self.device),
            self.device,
        )

    def theirs(self) -> Theirs:
        return Theirs(self.channels, self.batch, self.size, self.device)

    def __str__(self) -> str:
        return f"{self.channels} channels, {self.size}^3, batch {self.batch}"


def step(size: Size) -> Figure:
    """label-reg's own architecture in float32, all of tenter's step, to MONAI's parts."""
    return in_turn(
        f"training step, float32, {size}",
        size.ours().step,
        size.theirs().step,
        runs=size.runs,
        bar=0.25,
    )


def half_step(size: Size) -> Figure:
    """The same in bfloat16, to MONAI's in float32."""
    ours = size.ours(precision="bfloat16").step
    return in_turn(
        f"training step, bfloat16, {size}", ours, size.theirs().step, runs=size.runs, bar=0.13
    )


def label_loss(size: Size) -> Figure:
    """Multi-scale Dice, forward and backward."""
    fixed = torch.rand(size.batch, 1, *(size.size,) * 3, device=size.device)
    warped = torch.rand_like(fixed).requires_grad_()
    weights = torch.ones(size.batch, 1, device=size.device)
    ours, peer = losses.label_loss(LabelLoss(scales_voxel=SCALES), SPACING), multi_scale_dice()
    return in_turn(
        f"multi-scale Dice, forward and backward, {size.size}^3, batch {size.batch}",
        lambda: torch.autograd.backward(ours(warped, fixed, weights)),
        lambda: torch.autograd.backward(peer(warped, fixed)),
        runs=size.runs,
        bar=0.005,
    )


def outside(size: Size, **changed: object) -> Figure:
    """The part of a step that is not the network's forward and backward pass."""
    ours = size.ours(**changed)
    network = _network_alone(ours)
    ours.step()
    network()
    times = [(seconds(ours.step), seconds(network)) for _ in range(size.runs)]
    shares = [(max(0.0, whole - alone), whole) for whole, alone in times]
    name = "default U-Net" if changed else "Local-Net"
    return from_times(
        f"outside the network, as share of a step, {name}, {size}",
        shares,
        bar=None if changed else 0.05,
    )


def _network_alone(ours: Ours) -> Callable[[], None]:
    """Forward and backward of the network, from a gradient of the field that costs nothing."""
    batch = ours.batch()
    half = ours.settings.training.precision == "bfloat16"
    push = torch.rand(len(batch.moving), 3, *batch.moving.shape[2:], device=ours.device)

    def run() -> None:
        with torch.autocast(ours.device.type, torch.bfloat16, enabled=half):
            field: Tensor = ours.network(batch.moving, batch.fixed)
        field.backward(push.to(field.dtype))  # type: ignore[no-untyped-call] # torch lacks it
        for weight in ours.network.parameters():
            weight.grad = None

    return run


def convolutions(size: Size) -> Figure:
    """The network's forward and backward pass, to those of its convolutions alone,
    each laid out best.
    """
    ours = size.ours()
    network = _network_alone(ours)
    network()
    whole, alone = [], []
    calls = _calls(ours)
    for _ in range(size.runs):
        whole.append(seconds(network))
        alone.append(sum(_best(layer, shape, ours.device) for layer, shape in calls))
    times = list(zip(whole, alone, strict=True))
    return from_times(
        f"network's step, to the sum of its convolutions alone, {size}", times, bar=1.25,
        note="each convolution as the fastest of two layouts in memory",
    )  # fmt: skip


Convolution = nn.Conv3d | nn.ConvTranspose3d | blocks.FieldHead


def _calls(ours: Ours) -> list[tuple[Convolution, tuple[int, ...]]]:
    """Every convolution of one pass, and the shape of what it was given."""
    found: list[tuple[Convolution, tuple[int, ...]]] = []
    layers = [module for module in ours.network.modules() if isinstance(module, Convolution)]
    hooks = [
        layer.register_forward_hook(
            lambda layer, given, _: found.append((layer, tuple(given[0].shape)))
        )
        for layer in layers
    ]
    batch = ours.batch()
    with torch.no_grad():
        ours.network(batch.moving, batch.fixed)
    for hook in hooks:
        hook.remove()
    return found


def _best(layer: Convolution, shape: tuple[int, ...], device: torch.device) -> float:
    """Seconds of a convolution's forward and backward pass in its faster layout."""
    times = []
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        given = torch.rand(shape, device=device).contiguous(memory_format=layout)
        given.requires_grad_(shape[1] > 2)  # nobody asks for the images' gradient
        result = layer(given)
        push = torch.rand_like(result)

        def run(given: Tensor = given, push: Tensor = push) -> None:
            layer(given).backward(push)
            layer.zero_grad()
            given.grad = None

        run()
        times.append(seconds(run))
    return min(times)


def memory(size: Size) -> Figure:
    """Peak memory of two steps beyond what was there before the first,
    each in a process of its own.
    """
    ours, theirs = (_peak(whose, size) for whose in ("ours", "theirs"))
    what = f"peak memory of a step, {size}"
    return Figure(
        what, ours / theirs, 0.5, ours, theirs, "MB", load(), "beyond what was held before"
    )


def _peak(whose: str, size: Size) -> float:
    command = [sys.executable, str(Path(__file__).with_name("memory.py")), whose]
    command += [
        str(size.channels),
        str(size.size),
        str(size.batch),
        str(size.device),
        str(torch.get_num_threads()),
    ]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def data_path(size: Size) -> Figure:
    """Batches a second that one process draws, assembles and augments,
    to those that the network takes.
    """
    ours = size.ours()
    network = _network_alone(ours)
    ours.batch()
    network()
    batches, steps = [], []
    for _ in range(size.runs):
        batches.append(seconds(ours.batch))
        steps.append(seconds(network))
    rates = [
        (size.batch / ours_s, size.batch / net_s)
        for ours_s, net_s in zip(batches, steps, strict=True)
    ]
    figure = from_times(f"cases delivered, to cases consumed, {size}", rates, bar=20, unit="1/s")
    return Figure(
        **{**figure.__dict__, "at_least": True, "note": "one process, the cohort held once"}
    )


def growth(size: Size) -> Iterator[Figure]:
    """Time and peak memory of a step of the default network over voxels, batch and channels."""
    base = Size(16, 32, 2, size.runs, size.device)
    spent, held = _step_seconds(base), _peak("default", base)
    for channels, voxels, batch in (
        (16, 48, 2),
        (16, 64, 2),
        (16, 96, 2),
        (16, 128, 1),
        (16, 32, 4),
        (16, 32, 8),
        (32, 32, 2),
    ):
        one = Size(channels, voxels, batch, size.runs, size.device)
        values = (voxels / 32) ** 3 * batch / 2 * channels / 16
        yield _beside(
            f"step of the default U-Net, {one}", _step_seconds(one), spent, values * channels / 16
        )
        yield _beside(f"its peak memory, {one}", _peak("default", one), held, values, "MB")


def _beside(what: str, ours: float, base: float, times: float, unit: str = "s") -> Figure:
    """A figure beside so many times that of 16 channels, 32^3, batch 2."""
    what = f"{what}, to {times:.3g} times that of 16 channels, 32^3, batch 2"
    return Figure(what, ours / (base * times), None, ours, base * times, unit, load())


def _step_seconds(size: Size) -> float:
    ours = size.ours(network=DEFAULT | {"channels": size.channels})
    ours.step()
    return statistics.median(seconds(ours.step) for _ in range(size.runs))
