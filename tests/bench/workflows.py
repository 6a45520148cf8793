"""What the workflow costs beside its work: planning, orchestration,
and folds that share a machine.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from measuring import Figure, load

REPOSITORY = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SHARING = """
import sys, time, torch
sys.path.insert(0, {bench!r})
import recipes
torch.set_num_threads(1)
cpu = torch.device("cpu")
settings = recipes.settings(16, 4, network={{"name": "unet"}})
ours = recipes.Ours(settings, recipes.cohort(32, cpu), cpu)
ours.step()
start = time.perf_counter()
for _ in range({steps}):
    ours.step()
print(time.perf_counter() - start)
"""


def planning(counts: Sequence[int]) -> Iterator[Figure]:
    """`snakemake -n` of whole studies of 5 folds and 3 models, 50 pairs a chunk;
    per pair, to the smallest.

    Of each, all is to be done, and then nothing: every output is there
    with Snakemake's record of it.
    """
    for state, words in (("all to do", ()), ("nothing to do", ("--finished",))):
        first: float | None = None
        for pairs in counts:
            plan = _planned(pairs, *words)
            first = first or plan.cpu / pairs
            note = f"{plan.cpu:.1f} CPU s, {plan.wall:.1f} s by the clock, {plan.megabytes:.0f} MB"
            note += "; for 10 000 pairs at most 60 s and 2000 MB"
            what = f"snakemake -n, {state}, {pairs} pairs: seconds a pair, to those of {counts[0]}"
            yield Figure(
                what, plan.cpu / pairs / first, 1.0, plan.cpu / pairs, first, "s", load(), note
            )


@dataclass(frozen=True)
class Plan:
    """CPU and wall seconds and MB of a dry run."""

    cpu: float
    wall: float
    megabytes: float


def _planned(pairs: int, *words: str) -> Plan:
    """A dry run as a small process sees it: Linux counts a parent's memory to its children's."""
    size = {"pairs": pairs, "folds": 5, "models": 3, "chunks": max(1, pairs // 5 // 50)}
    flags = [word for name, value in size.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, str(Path(__file__).with_name("scale.py")), *flags, *words]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (row,) = csv.DictReader(told.splitlines(), delimiter="\t")
    return Plan(float(row["plan s"]), float(row["plan wall s"]), float(row["plan MB"]))


SUBJECTS = 24
SUBJECTS_S = 20.0
"""Subjects of the small cohort, and the seconds in which it is to be prepared on two cores."""


def small_cohort(folder: Path) -> Figure:
    """Wall time to prepare an unpaired study of few subjects on two cores: nearly all start-up."""
    folder.mkdir(parents=True, exist_ok=True)
    _tool(folder, "tenter", "simulate", "cohort", "--kind", "subjects", "--patients", str(SUBJECTS))
    chosen = yaml.safe_load((REPOSITORY / "config/hippocampus.yaml").read_text(encoding="utf-8"))
    chosen |= {
        "manifest": "cohort/manifest.tsv",
        "pairing": {"kind": "subjects", "pairs_per_subject": 1},
        "folds": {"count": 3},
    }
    chosen["labels"] = {"format": "stack"}
    _configure(folder / "small.yaml", chosen)
    start = time.perf_counter()
    _workflow(folder, "small.yaml", "--cores", "2", "--forceall", "--", "cases")
    wall = time.perf_counter() - start
    what = f"preparation of {SUBJECTS} unpaired subjects on two cores, to {SUBJECTS_S:.0f} s"
    return Figure(what, wall / SUBJECTS_S, 1.0, wall, SUBJECTS_S, "s", load(), "")


def demo(folder: Path) -> Figure:
    """Wall time of the demo study on one core, to the time that its jobs say they computed."""
    folder.mkdir(parents=True, exist_ok=True)
    _tool(folder, "tenter", "simulate", "cohort")
    chosen = yaml.safe_load((REPOSITORY / "config/demo.yaml").read_text(encoding="utf-8"))
    _configure(folder / "demo.yaml", chosen | {"manifest": "cohort/manifest.tsv"})
    start, before = time.perf_counter(), os.times()
    _workflow(folder, "demo.yaml", "--cores", "1", "--forceall")
    wall, after = time.perf_counter() - start, os.times()
    cpu = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    useful = sum(_trained(folder / "results/demo")) + sum(_others(folder / "results/demo"))
    what = "demo study on one core: all that is not its jobs' computing, to that"
    note = f"{cpu:.0f} CPU s in all"
    return Figure(what, (wall - useful) / useful, 0.25, wall - useful, useful, "s", load(), note)


def _configure(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _workflow(folder: Path, config: str, *words: str) -> None:
    snakefile = str(REPOSITORY / "Snakefile")
    _tool(folder, "snakemake", "--snakefile", snakefile, "--configfile", config, *words)


def _tool(folder: Path, name: str, *words: str) -> None:
    """Run an installed command in a folder, with one thread."""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    # Otherwise each job would compile this package again.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [str(BIN / name), *words]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)


def _trained(results: Path) -> Iterator[float]:
    """Seconds of each training, as its history says."""
    for path in results.glob("models/*/fold-*/history.csv"):
        with path.open(newline="", encoding="utf-8") as stream:
            yield float(list(csv.DictReader(stream))[-1]["seconds"])


def _others(results: Path) -> Iterator[float]:
    """Seconds that every other job took beyond starting Python with its imports,
    which a bare one shows.
    """
    start = time.perf_counter()
    subprocess.run([str(BIN / "tenter"), "infer", "--help"], check=True, capture_output=True)
    imports = time.perf_counter() - start
    for path in results.glob("benchmarks/**/*.tsv"):
        if "train" not in path.parts:
            with path.open(newline="", encoding="utf-8") as stream:
                spent = float(next(csv.DictReader(stream, delimiter="\t"))["s"])
            yield max(0.0, spent - imports)


def side_by_side(runs: int, steps: int = 20) -> Figure:
    """Two trainings of one thread each at the same time, to each alone."""
    program = SHARING.format(bench=str(Path(__file__).parent), steps=steps)
    times = []
    for _ in range(runs):
        (alone,) = _seconds(program, 1)
        times.append((max(_seconds(program, 2)), alone))
    ratios = sorted(together / alone for together, alone in times)
    both = sorted(times)[len(times) // 2]
    what = "two trainings side by side on two cores, to one alone"
    return Figure(what, ratios[len(ratios) // 2], 1.15, both[0], both[1], "s", load())


def _seconds(program: str, count: int) -> list[float]:
    started = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    return [float(process.communicate()[0]) for process in started]
