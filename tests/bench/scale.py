"""What a cohort costs Snakemake and the file system before any voxel is touched,
by the number of chunks.

    python tests/bench/scale.py --pairs 10000 --folds 12 --models 6 --chunks 1 9 42 1000
        [--finished]

Writes a cohort of empty files, lets Snakemake plan the whole study without running it, and prints a
row for each number of chunks a fold: pairs a job, jobs (and how many are trainings), files that
these jobs declare, files in all, seconds and memory of planning, seconds that one job spends in the
workflow before its work, and hours that all jobs spend in being started, by the seconds of one
start. With `--finished` every output is there, with Snakemake's record of it: what planning takes
to find that nothing is to be done.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tenter import files, provenance
from tenter.study import Study

ROOT = Path(__file__).parents[2]
STAGES = (
    "prepare_images",
    "prepare_labels",
    "train",
    "infer",
    "evaluate",
    "summarise",
    "report",
    "publish",
)
OUTPUTS = {"train": 3, "summarise": 4}
"""Declared outputs of stages that have more than one."""

CASE_FILES, FIELD_FILES = 6, 3
"""Files of a prepared pair, and of a registered one with its exports by default."""

START_S = 12.0
"""Seconds from submission to work of one job: two Snakemakes and Slurm;
see tests/bench/submission.py.
"""


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


@dataclass(frozen=True)
class Planned:
    """What Snakemake said, and what that took: CPU and wall seconds, MB at most."""

    told: str
    cpu: float
    wall: float
    megabytes: float


def snakemake(folder: Path, config: Path, *words: str) -> Planned:
    """Run Snakemake on a study without running a job of it."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-s",
        str(ROOT / "Snakefile"),
        "--directory",
        str(folder),
    ]
    command += ["--quiet", "rules", "--cores", "1", "--configfile", str(config), *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    before, begin = os.times(), time.perf_counter()
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        told = process.stdout.read()
        _, code, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
    wall, after = time.perf_counter() - begin, os.times()
    if process.returncode:
        sys.exit(told)
    cpu = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    return Planned(told, cpu, wall, used.ru_maxrss / 1024)


def finish(folder: Path, config: Path) -> None:
    """Leave what a finished study leaves: the plan's record, empty outputs,
    Snakemake's record of each.
    """
    study = Study.load(config)
    plan = study.results / "cohort/plan.json"
    files.write_json(plan, {})
    provenance.record(plan, "plan", study.settings("plan"), study.code("plan"))
    for output in outputs(study):
        output.parent.mkdir(parents=True, exist_ok=True)
        output.touch()
    snakemake(folder, config, "--touch", "--forceall", "--no-hooks", "--scheduler-subsample", "2")


def outputs(study: Study) -> Iterator[Path]:
    """Everything that the jobs of a study declare."""
    root = study.results
    yield from (
        root / f"cases/tables/{chunk}.{kind}.tsv"
        for chunk in study.cohort.chunks
        for kind in ("images", "labels")
    )
    for model in study.models:
        yield root / f"tracking/{model}.txt"
        for fold in study.trained_folds(model):
            folder = root / f"models/{model}/fold-{fold}"
            yield from (
                folder / name for name in ("model.safetensors", "model.json", "history.csv")
            )
        for chunk in study.cohort.registered_chunks():
            yield root / f"fields/tables/{model}/{chunk}.tsv"
            yield root / f"metrics/{model}/{chunk}.tsv"
    names = ("metrics.tsv", "summary.tsv", "comparison.tsv", "challenges.tsv", "report.html")
    yield from (root / name for name in names)


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
    parser.add_argument("--finished", action="store_true", help="plan a study of which all is done")
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
        "plan wall s",
        "plan MB",
        "parse s",
        "start h",
    )
    sys.stdout.write("\t".join(head) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), size)
        for chunks in chosen.chunks:
            config = configure(Path(folder), size, chunks)
            plan = snakemake(Path(folder), config, "--dry-run")
            found = counts(plan.told)
            if chosen.finished:
                finish(Path(folder), config)
                plan = snakemake(Path(folder), config, "--dry-run")
                if counts(plan.told):
                    sys.exit(f"something was left to do:\n{plan.told}")
            jobs = sum(found.values())
            declared = sum(count * OUTPUTS.get(stage, 1) for stage, count in found.items())
            others = size.pairs * (CASE_FILES + FIELD_FILES * size.models)
            # Beside each output its provenance, a log, a benchmark, and Snakemake's own record.
            kept = declared * 3 + jobs * 2 + others
            parse_s = round(parse_seconds(config), 1)
            row = (
                chunks, round(size.pairs / found["prepare_images"], 1), jobs, found["train"],
                declared, kept,
                round(plan.cpu, 1), round(plan.wall, 1), round(plan.megabytes), parse_s,
                round(jobs * chosen.start_s / 3600, 1),
            )  # fmt: skip
            sys.stdout.write("\t".join(map(str, row)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
