"""What submitting costs: the images of some pairs prepared on the one-machine cluster, pairs alone and in chunks.

    tests/cluster/one-machine-slurm.sh install && tests/cluster/one-machine-slurm.sh start
    python tests/bench/submission.py --pairs 24 --total 200

Prints for each way the jobs, the wall time, wall seconds a job and a pair, the mean time of a job in Slurm
and how much of it was work (CPU seconds that its command took); and from these what the images of `total`
pairs would take.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from clusters import Study, command, study

ALONE = 100_000
"""So many chunks that hardly two patients share one."""

WAYS = {"pairs alone": ALONE, "in chunks": 1}


def measured(made: Study) -> tuple[int, float, float, float]:
    """Jobs, wall seconds, mean seconds of a job in Slurm, mean seconds of its command."""
    begin = time.monotonic()
    made.finish("--until", "prepare_images")
    wall = time.monotonic() - begin
    jobs = [job.seconds for job in made.jobs()]
    work = []
    for path in made.results.glob("benchmarks/prepare_images/*.tsv"):
        with path.open(newline="") as stream:
            work += [float(row["s"]) for row in csv.DictReader(stream, delimiter="\t")]
    return len(jobs), wall, sum(jobs) / len(jobs), sum(work) / len(work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--total", type=int, default=200)
    chosen = parser.parse_args()
    command("sinfo")
    sys.stdout.write("way\tjobs\twall s\twall s a job\ts in Slurm\ts of work\tof all: jobs\twall s\n")
    with tempfile.TemporaryDirectory() as folder:
        for way, chunks in WAYS.items():
            place, count = Path(folder) / way.replace(" ", "-"), chosen.pairs
            made = study(place, steps=1, pairs=count, patients=count, chunks={"count": chunks})
            jobs, wall, slurm, work = measured(made)
            scale = chosen.total / chosen.pairs if chunks == ALONE else 1
            more = 0 if chunks == ALONE else (chosen.total - chosen.pairs) / chosen.pairs * work
            row = (way, jobs, wall, wall / jobs, slurm, work, round(jobs * scale), wall * scale + more)
            sys.stdout.write("\t".join(f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in row))
            sys.stdout.write("\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
