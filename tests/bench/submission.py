"""What submitting costs: images of some pairs prepared on the one-machine cluster,
alone and in chunks.

    tests/cluster/one-machine-slurm.sh install && tests/cluster/one-machine-slurm.sh start
    python tests/bench/submission.py --pairs 24 --total 200

Prints for each way its jobs, the wall seconds of all and of a job, the mean seconds of a job in
Slurm, and the mean seconds of its work; and what the images of `total` pairs would take: as many
more jobs, or as much more work in the same ones.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from builders.clusters import ClusterStudy, command, study

WAYS = {"alone": 10_000, "chunks": 1}
"""Chunks of a fold: so many that hardly two patients share one, or one."""

HEAD = "way\tjobs\twall s\twall s a job\ts in Slurm\ts of work\tjobs of all\twall s of all"


@dataclass(frozen=True)
class Cost:
    """Jobs, their wall seconds together, and each one's mean seconds in Slurm and of work."""

    jobs: int
    wall: float
    slurm: float
    work: float

    def row(self, way: str, pairs: int, total: int) -> str:
        more = total / pairs
        jobs = round(self.jobs * more) if way == "alone" else self.jobs
        wall = self.wall * more if way == "alone" else self.wall + self.work * (more - 1)
        figures = [self.wall, self.wall / self.jobs, self.slurm, self.work]
        told = [
            way,
            str(self.jobs),
            *(f"{figure:.1f}" for figure in figures),
            str(jobs),
            f"{wall:.0f}",
        ]
        return "\t".join(told) + "\n"


def measured(made: ClusterStudy) -> Cost:
    """The cost of preparing a study's images."""
    begin = time.monotonic()
    made.finish("--until", "prepare_images")
    wall = time.monotonic() - begin
    slurm = [job.seconds for job in made.jobs()]
    work = [
        float(row["s"])
        for path in made.results.glob("benchmarks/prepare_images/*.tsv")
        for row in csv.DictReader(path.read_text().splitlines(), delimiter="\t")
    ]
    return Cost(len(slurm), wall, sum(slurm) / len(slurm), sum(work) / len(work))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both ways."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--total", type=int, default=200)
    chosen = parser.parse_args(arguments)
    command("sinfo")
    sys.stdout.write(f"{HEAD}\n")
    with tempfile.TemporaryDirectory() as folder:
        for way, chunks in WAYS.items():
            count = chosen.pairs
            made = study(
                Path(folder, way), steps=1, pairs=count, patients=count, chunks={"count": chunks}
            )
            sys.stdout.write(measured(made).row(way, count, chosen.total))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
