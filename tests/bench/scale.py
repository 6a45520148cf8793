"""What a cohort costs Snakemake and the file system before any voxel is touched, by the number of chunks.

    python tests/bench/scale.py --pairs 10000 --folds 12 --models 6 --chunks 1 9 42 1000

Writes a cohort of empty files, lets Snakemake plan the whole study without running it, and prints a row
for each number of chunks a fold: pairs a job, jobs (and how many are trainings), files that these jobs
declare, files in all, seconds and memory of planning, seconds that one job spends in the workflow before
its work, and hours that all jobs spend in being started, by the seconds of one start.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
STAGES = ("prepare_images", "prepare_labels", "train", "infer", "evaluate", "summarise", "report", "publish")
OUTPUTS = {"train": 3, "summarise": 4}
"""Declared outputs of stages that have more than one."""

CASE_FILES, FIELD_FILES = 6, 3
"""Files of a prepared pair, and of a registered one with its exports by default."""

START_S = 12.0
"""Seconds from submission to work of one job: two Snakemakes and Slurm; see tests/bench/submission.py."""


@dataclass(frozen=True)
class Size:
    """How large a study is."""

    pairs: int
    folds: int
    models: int
    steps: int = 1


def write(folder: Path, size: Size) -> None:
    """A manifest of empty files, ten pairs to a folder; two pairs a patient."""
    columns = ("moving_image", "fixed_image", "moving_labels", "fixed_labels")
    rows = ["\t".join(("pair", "patient", *columns))]
    for index in range(size.pairs):
        place = Path("images") / str(index // 10)
        (folder / place).mkdir(parents=True, exist_ok=True)
        names = [str(place / f"{index}-{column}.nii.gz") for column in columns]
        for name in names:
            (folder / name).touch()
        rows.append("\t".join((f"p{index:06d}", f"P{index // 2:06d}", *names)))
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n")


def configure(folder: Path, size: Size, chunks: int) -> Path:
    models = {f"m{index}": {"training": {"steps": 1000}} for index in range(size.models)}
    content = {
        "study": f"scale-{chunks}", "manifest": "manifest.tsv", "folds": {"count": size.folds},
        "chunks": {"count": chunks}, "models": models, "results": str(folder / "results"),
    }  # fmt: skip
    path = folder / f"scale-{chunks}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def planned(folder: Path, config: Path, *words: str) -> tuple[str, float, float]:
    """What Snakemake says, CPU seconds and MB of a dry run."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--dry-run", "--quiet", "rules", "--cores", "1", "--configfile", str(config), *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout + done.stderr, seconds, after.ru_maxrss / 1024


def counts(told: str) -> dict[str, int]:
    """Jobs of each stage, from Snakemake's table."""
    found = re.findall(rf"^({'|'.join(STAGES)})\s+(\d+)$", told, re.MULTILINE)
    return {stage: int(count) for stage, count in dict(found).items()}


def parse_seconds(config: Path) -> float:
    """CPU seconds in which a job reads configuration and manifest; it does so twice."""
    code = "import sys, pathlib, tenter.study as s; s.Study.load(pathlib.Path(sys.argv[1])).chunks"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-c", code, str(config)], env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--folds", type=int, default=12)
    parser.add_argument("--models", type=int, default=6)
    parser.add_argument("--chunks", type=int, nargs="+", default=[1, 9, 42])
    parser.add_argument("--start-s", type=float, default=START_S)
    chosen = parser.parse_args(arguments)
    size = Size(chosen.pairs, chosen.folds, chosen.models)
    head = (
        "chunks",
        "pairs a job",
        "jobs",
        "trainings",
        "declared",
        "files",
        "plan s",
        "plan MB",
        "parse s",
        "start h",
    )
    sys.stdout.write("\t".join(head) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), size)
        for chunks in chosen.chunks:
            config = configure(Path(folder), size, chunks)
            told, seconds, megabytes = planned(Path(folder), config)
            found = counts(told)
            jobs = sum(found.values())
            declared = sum(count * OUTPUTS.get(stage, 1) for stage, count in found.items())
            others = size.pairs * (CASE_FILES + FIELD_FILES * size.models)
            # Beside each output its provenance, a log, a benchmark, and Snakemake's own record.
            files = declared * 3 + jobs * 2 + others
            row = (
                chunks, round(size.pairs / found["prepare_images"], 1), jobs, found["train"], declared, files,
                round(seconds, 1), round(megabytes), round(parse_seconds(config), 1),
                round(jobs * chosen.start_s / 3600, 1),
            )  # fmt: skip
            sys.stdout.write("\t".join(map(str, row)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
