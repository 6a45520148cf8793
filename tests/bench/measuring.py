"""What a figure is, and how two things are timed in turn."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Figure:
    """One comparison.

    Attributes:
        what: is compared.
        ratio: ours to the peer's: the median over the runs of what two neighbouring runs give.
        bar: what the ratio should not exceed (or, `at_least`, not fall below); None: only told.
        ours: median, in `unit`.
        peer: median, in `unit`.
        unit: of both.
        load: of the machine at the end, as runnable processes.
        note: what else belongs to it.
        at_least: whether more is better.
    """

    what: str
    ratio: float
    bar: float | None
    ours: float
    peer: float
    unit: str = "s"
    load: float = 0.0
    note: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the bar is met; of what has none, it is."""
        if self.bar is None:
            return True
        return self.ratio >= self.bar if self.at_least else self.ratio <= self.bar


def load() -> float:
    """Processes that ran or wanted to, on average over the last minute."""
    return round(os.getloadavg()[0], 1)


def held(what: str) -> float:
    """A figure of Linux's about this process's memory, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / 1e3


def seconds(function: Callable[[], object]) -> float:
    """By the clock, all work of a GPU done."""
    start = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def in_turn(
    what: str,
    ours: Callable[[], object],
    peer: Callable[[], object],
    *,
    runs: int,
    bar: float | None = None,
    note: str = "",
) -> Figure:
    """Time both in turn, after one warm-up each."""
    ours()
    peer()
    times = [(seconds(ours), seconds(peer)) for _ in range(runs)]
    return from_times(what, times, bar=bar, note=note)


def from_times(
    what: str,
    times: list[tuple[float, float]],
    *,
    bar: float | None = None,
    note: str = "",
    unit: str = "s",
) -> Figure:
    """A figure from runs of both, neighbours in time."""
    return Figure(
        what,
        statistics.median(ours / peer for ours, peer in times),
        bar,
        statistics.median(ours for ours, _ in times),
        statistics.median(peer for _, peer in times),
        unit,
        load(),
        note,
    )
