"""Speed and memory beside peers: each figure a ratio to a peer run in the same minutes,
one after the other.

`make bench` prints a table and writes bench.json below results/bench; medians of several runs
count. Rows are chosen by name: `python tests/bench/run.py --rows loss step`. With `--device cuda`
those rows that a GPU has a part in run there.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import cohorts
import many
import steps
import torch
import workflows
from measuring import Figure, load

from tenter import files

ROOT = Path("results/bench")


def rows(chosen: argparse.Namespace) -> dict[str, Callable[[], Iterator[Figure]]]:
    """What can be measured, by name."""
    device = torch.device(chosen.device)
    size = steps.Size(chosen.channels, chosen.size, chosen.batch, chosen.runs, device)
    default = steps.Size(16, 32, 8, chosen.runs, device)
    return {
        "loss": lambda: iter([steps.label_loss(size)]),
        "step": lambda: iter([steps.step(size)]),
        "half": lambda: iter([steps.half_step(size)]),
        "outside": lambda: iter(
            [steps.outside(size), steps.outside(default, network=steps.DEFAULT)]
        ),
        "convolutions": lambda: iter([steps.convolutions(size)]),
        "memory": lambda: iter([steps.memory(size)]),
        "data": lambda: iter([steps.data_path(size)]),
        "growth": lambda: steps.growth(size),
        "prepare": lambda: iter([cohorts.preparation(ROOT / "cohort", chosen.pairs, chosen.runs)]),
        "register": lambda: iter(
            [cohorts.registration(ROOT / "cohort", chosen.pairs, chosen.runs)]
        ),
        "evaluate": lambda: iter([cohorts.evaluation(ROOT / "cohort", chosen.pairs, chosen.runs)]),
        "cohort-growth": lambda: many.growth(chosen.growth_pairs),
        "workflow": lambda: workflows.planning(chosen.workflow_pairs),
        "sharing": lambda: iter([workflows.side_by_side(chosen.runs)]),
        "small-cohort": lambda: iter([workflows.small_cohort(ROOT / "small-cohort")]),
        "demo": lambda: iter([workflows.demo(ROOT / "demo")]),
    }


GPU = ("loss", "step", "half", "outside", "convolutions", "memory", "data", "growth")
"""Rows that a GPU has a part in."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", nargs="*", metavar="NAME", help="default: all of the device")
    parser.add_argument("--runs", type=int, default=3, help="counted runs of each")
    parser.add_argument("--size", type=int, default=64, help="voxels along each axis")
    parser.add_argument("--channels", type=int, default=32, help="channels at full resolution")
    parser.add_argument("--batch", type=int, default=2, help="pairs of a step")
    parser.add_argument(
        "--pairs", type=int, default=100, help="pairs of the cohort that is prepared"
    )
    parser.add_argument("--growth-pairs", type=int, nargs="*", default=[10, 100, 1000, 10_000])
    parser.add_argument("--workflow-pairs", type=int, nargs="*", default=[100, 1000, 10_000])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=ROOT / "bench.json")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    known = rows(chosen)
    names = chosen.rows or (GPU if chosen.device != "cpu" else tuple(known))
    unknown = sorted(set(names) - set(known))
    if unknown:
        parser.error(f"no row is called {', '.join(unknown)}; there are {', '.join(known)}")
    figures: list[Figure] = []
    machine = {
        "threads": chosen.threads,
        "cores": os.cpu_count(),
        "device": chosen.device,
        "torch": torch.__version__,
    }
    sys.stdout.write(f"{machine}, load {load()}\n\n{HEAD}\n")
    for name in names:
        for figure in known[name]():
            figures.append(figure)
            sys.stdout.write(f"{line(figure)}\n")
            sys.stdout.flush()
            files.write_json(
                chosen.output, {"machine": machine, "figures": [asdict(item) for item in figures]}
            )
    return 0


HEAD = "| what | ratio | bar | ours | peer | load |\n|---|---|---|---|---|---|"


def line(figure: Figure) -> str:
    """A row of a Markdown table."""
    bar = "" if figure.bar is None else f"{'>=' if figure.at_least else '<='} {figure.bar:g}"
    sides = (f"{side:.3g} {figure.unit}" for side in (figure.ours, figure.peer))
    what = f"{figure.what} ({figure.note})" if figure.note else figure.what
    return f"| {what} | {figure.ratio:.3g} | {bar} | {' | '.join(sides)} | {figure.load:g} |"


if __name__ == "__main__":
    sys.exit(main())
