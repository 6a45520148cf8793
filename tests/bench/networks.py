"""Size and speed of every network at its defaults, as a table for docs/reference/networks.md.

    python tests/bench/networks.py [--threads 1] [--device cpu]

A step is forward, backward and an update of AdamW, in turn with the other networks so that what
else the machine does falls on all alike; medians count.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable

import torch

from tenter import config, networks

SHAPE = (24, 32, 22)
BATCH = 8
CASES: dict[str, config.Network] = {
    "local": config.LocalNetwork(),
    "local, 8 channels": config.LocalNetwork(channels=8),
    "unet": config.UNetNetwork(),
    "unet, finest: 0": config.UNetNetwork(finest=0),
    "unet, velocity": config.UNetNetwork(output="velocity"),
    "unet, bspline": config.UNetNetwork(output="bspline"),
    "global": config.GlobalNetwork(),
    "keypoint": config.KeypointNetwork(),
    "composite": config.CompositeNetwork(),
    "composite, keypoint": config.CompositeNetwork(first=config.KeypointNetwork()),
    "cascade": config.CascadeNetwork(),
    "local, parity": config.LocalNetwork(parity=True),
    "global, parity": config.GlobalNetwork(parity=True, finest=0, size=SHAPE),
}


def step(settings: config.Network, device: torch.device) -> tuple[int, Callable[[], None]]:
    """Number of weights, and one step of learning."""
    network = networks.build(settings, (1, 1)).to(device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-5, fused=True)
    moving, fixed = torch.rand(2, BATCH, 1, *SHAPE, device=device)

    def learn() -> None:
        torch.autograd.backward(network(moving, fixed).square().mean())
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return sum(weight.numel() for weight in network.parameters()), learn


def seconds(function: Callable[[], None]) -> tuple[float, float]:
    """By the clock, and of all processor cores together."""
    start = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="counted steps of each")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="*", default=list(CASES), help="names of rows")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    steps = {name: step(CASES[name], torch.device(chosen.device)) for name in chosen.only}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for run in range(chosen.runs + 1):
        for name, (_, learn) in steps.items():
            taken = seconds(learn)
            if run:  # the first one warms up
                times[name].append(taken)
    grid = " x ".join(map(str, SHAPE))
    load = os.getloadavg()[0]
    where = f"{chosen.device}, {chosen.threads} threads, torch {torch.__version__}, load {load:.1f}"
    sys.stdout.write(f"{grid}, batch {BATCH}, {where}\n\n")
    sys.stdout.write("| network | weights | seconds a step | of cores |\n|---|---|---|---|\n")
    for name, (weights, _) in steps.items():
        count = f"{weights:,}".replace(",", " ")
        wall, cores = (statistics.median(column) for column in zip(*times[name], strict=True))
        sys.stdout.write(f"| {name} | {count} | {wall:.3f} | {cores:.3f} |\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
