"""`snakemake --profile slurm` from manifest to report, one training requeued half-way."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from builders.clones import Clone
from builders.clusters import PATIENCE_S, ClusterStudy, command, study
from tenter.history import read_history

EQUAL = ("metrics.tsv", "summary.tsv", "comparison.tsv", "challenges.tsv")
ASKED = {
    "prepare_images": ("cpu", "1", "4000M", None, 60),
    "prepare_labels": ("cpu", "1", "4000M", None, 60),
    "train": ("gpu", "1", "16000M", "1", 240),
    "infer": ("gpu", "1", "8000M", "1", 60),
    "evaluate": ("cpu", "1", "4000M", None, 60),
    "summarise": ("cpu", "1", "4000M", None, 60),
    "report": ("cpu", "1", "4000M", None, 60),
}
"""Partition, CPUs, memory, GPUs and minutes of each stage, local rules apart, by the profile."""


@dataclass(frozen=True)
class Pair:
    """One study, run twice."""

    slurm: ClusterStudy
    local: Clone


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("studies")
    made = study(folder / "slurm", steps=300)
    shutil.copytree(made.root, folder / "local", symlinks=True)
    with made.running() as process:
        requeued = made.number_of("train_wildcards_a_0")
        made.wait_for_step(20, ["0"])
        command("scontrol", "requeue", requeued)
        local = Clone(folder / "local")
        done = local.run("--", str((local.results / "metrics.tsv").relative_to(local.root)))
        assert done.returncode == 0, done.stdout + done.stderr
        assert process.wait(PATIENCE_S) == 0, made.said()
    yield Pair(made, local)
    made.end_leftovers()


def test_each_stage_had_what_the_profile_asks_for(run: Pair) -> None:
    for job in run.slurm.jobs():
        got = job.got.get
        found = (job.partition, got("cpu"), got("mem"), got("gres/gpu"), job.minutes)
        assert found == ASKED[job.stage], job


def test_light_steps_stayed_here_and_no_job_was_sent_twice(run: Pair) -> None:
    sent = [job.rule for job in run.slurm.jobs()]
    assert len(sent) == len(set(sent)) == 5 * 2 + 2
    assert {job.stage for job in run.slurm.jobs()} == ASKED.keys()
    assert {job.state for job in run.slurm.jobs()} == {"COMPLETED"}


def test_the_requeued_training_was_asked_to_stop_and_went_on(run: Pair) -> None:
    assert run.slurm.begun("train_wildcards_a_0") == ["REQUEUED", "COMPLETED"]
    saved = run.slurm.log("0").split("asked to stop; step ")[1].split()[0]
    assert f"training goes on from step {saved}" in run.slurm.log("0")


def test_weights_are_those_of_the_local_profile(run: Pair) -> None:
    there, here = run.slurm.weights(), ClusterStudy(run.local.root).weights()
    assert there == here
    assert len(there) == 2


@pytest.mark.parametrize("name", EQUAL)
def test_tables_are_those_of_the_local_profile(run: Pair, name: str) -> None:
    assert (run.slurm.results / name).read_bytes() == (run.local.results / name).read_bytes()


def test_prepared_cases_are_those_of_the_local_profile(run: Pair) -> None:
    """Their tables hold the sha256 of every file."""
    for name in (
        f"cases/tables/{fold}-0.{kind}.tsv" for fold in "01" for kind in ("images", "labels")
    ):
        assert (run.slurm.results / name).read_bytes() == (run.local.results / name).read_bytes(), (
            name
        )


def test_fields_and_warped_images_are_those_of_the_local_profile(run: Pair) -> None:
    """Of the transforms' own files the header holds the time."""
    found = sorted((run.slurm.results / "fields/a").glob("*/*.nii.gz"))
    assert len(found) == 2 * 6
    for path in found:
        other = run.local.results / path.relative_to(run.slurm.results)
        assert path.read_bytes() == other.read_bytes(), path.name


def test_histories_differ_in_nothing_but_time(run: Pair) -> None:
    for fold in ("0", "1"):
        name = f"models/a/fold-{fold}/history.csv"
        rows = [read_history(study.results / name) for study in (run.slurm, run.local)]
        assert [row.pop("seconds") for both in rows for row in both]
        assert rows[0] == rows[1]


def test_mlflow_has_one_run_a_fold(run: Pair) -> None:
    assert run.slurm.published() == ["a", "a/0", "a/1"]
