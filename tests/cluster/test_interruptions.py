"""What befalls jobs on a cluster, each in the middle of two trainings:
they end with the same weights.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.clones import jobs as names_of_jobs
from builders.clusters import (
    JOBS,
    PATIENCE_S,
    SCRIPT,
    TRAINED,
    ClusterStudy,
    Prepared,
    command,
    configure,
    processes_in,
    wait_until,
)
from tenter.tools import jobs

pytestmark = pytest.mark.soak

SLICES_S = 240.0
"""Of training, which slices share; of each, its start takes a part."""


@pytest.fixture
def made(prepared: Prepared, tmp_path: Path) -> Iterator[ClusterStudy]:
    again = prepared.again(tmp_path / "study")
    yield again
    again.end_leftovers()


def test_a_higher_job_that_preempts_both(made: ClusterStudy, prepared: Prepared) -> None:
    with made.running("--set-resources", "train:slurm_partition=low", "--", *TRAINED) as process:
        made.wait_for_step(20)
        command(
            "sbatch", "-p", "high", "-N", "3", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 5"
        )
        assert process.wait(PATIENCE_S) == 0, made.said()
    assert [made.begun(job) for job in JOBS] == [["PREEMPTED", "COMPLETED"]] * 2
    assert_went_on(made, prepared)
    assert_completes_without_repeating(made)


def test_requeueing_both(made: ClusterStudy, prepared: Prepared) -> None:
    with made.running("--", *TRAINED) as process:
        made.wait_for_step(20)
        command("scontrol", "requeue", ",".join(made.running_job(job) for job in JOBS))
        assert process.wait(PATIENCE_S) == 0, made.said()
    assert [made.begun(job) for job in JOBS] == [["REQUEUED", "COMPLETED"]] * 2
    assert_went_on(made, prepared)


def test_cancelling_one_leads_to_another_attempt(made: ClusterStudy, prepared: Prepared) -> None:
    with made.running("--", *TRAINED) as process:
        made.wait_for_step(20)
        command("scancel", made.running_job(JOBS[0]))
        assert process.wait(PATIENCE_S) == 0, made.said()
    assert [made.begun(job) for job in JOBS] == [["CANCELLED", "COMPLETED"], ["COMPLETED"]]
    assert_went_on(made, prepared, folds=["0"])
    assert_completes_without_repeating(made)


def test_jobs_over_their_memory_are_tried_again_with_more(
    made: ClusterStudy, prepared: Prepared
) -> None:
    """Without cgroups Slurm polls the memory of a job's processes, and ends it as failed."""
    with made.running("--set-resources", "train:mem_mb=500 * attempt", "--", *TRAINED) as process:
        assert process.wait(PATIENCE_S) == 0, made.said()
    for fold in ("0", "1"):
        tried = [job for job in made.jobs() if job.rule == f"train_wildcards_a_{fold}"]
        assert [(job.state, job.got["mem"]) for job in tried] == [
            ("FAILED", "500M"),
            ("COMPLETED", "1000M"),
        ]
        assert "memory limit" in jobs.verdict(made.root, "train", f"a_{fold}")[0]
    assert made.weights() == prepared.weights


def test_a_job_that_hangs_beyond_its_time_is_tried_again(
    made: ClusterStudy, prepared: Prepared
) -> None:
    configure(made, steps=600, runtime={"checkpoint_s": 0.5, "margin_s": 0})
    with made.running(
        "--set-resources", "train:runtime=1 + 4*(attempt - 1)", "--", *TRAINED
    ) as process:
        made.wait_for_step(20)
        for hung in trainings(made):
            os.kill(hung, signal.SIGSTOP)
        assert process.wait(PATIENCE_S) == 0, made.said()
    assert [made.begun(job) for job in JOBS] == [["TIMEOUT", "COMPLETED"]] * 2
    assert_went_on(made, prepared)


def trainings(made: ClusterStudy) -> list[int]:
    """Processes that train, and not the shells or Snakemakes that started them."""
    found = []
    for process in processes_in(made.root):
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        if len(words) > 2 and words[1].endswith(b"/tenter") and words[2] == b"train":
            found.append(process)
    assert len(found) == 2
    return found


def test_a_node_that_goes_down(made: ClusterStudy, prepared: Prepared) -> None:
    with made.running("--", *TRAINED) as process:
        made.wait_for_step(20)
        number = made.running_job(JOBS[0])
        node = command("squeue", "-h", "-j", number, "-o", "%N").strip()
        command("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
        try:
            assert process.wait(PATIENCE_S) == 0, made.said()
        finally:
            command(str(SCRIPT), "start")
    assert made.begun(JOBS[0]) == ["NODE_FAIL", "COMPLETED"]
    assert_went_on(made, prepared, folds=["0"])


def test_a_controller_that_is_away_for_a_while(made: ClusterStudy, prepared: Prepared) -> None:
    with made.running("--", *TRAINED) as process:
        made.wait_for_step(20)
        command(str(SCRIPT), "controller-down")
        time.sleep(40)
        command(str(SCRIPT), "controller-up")
        assert process.wait(PATIENCE_S) == 0, made.said()
    assert [made.begun(job) for job in JOBS] == [["COMPLETED"]] * 2
    assert made.weights() == prepared.weights


def assert_went_on(made: ClusterStudy, prepared: Prepared, folds: list[str] | None = None) -> None:
    assert made.weights() == prepared.weights
    assert {job.rule for job in made.jobs()} == set(JOBS)
    for fold in folds or ["0", "1"]:
        assert "training goes on from step" in made.log(fold)


def assert_completes_without_repeating(made: ClusterStudy) -> None:
    """The rest of the study, here: it trains nothing again, and MLflow has one run a fold."""
    done = made.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert not {
        told
        for told in names_of_jobs(done.stdout + done.stderr)
        if told.startswith(("train", "prepare"))
    }
    assert made.published() == ["a", "a/0", "a/1"]


def test_a_snakemake_that_is_killed_leaves_nothing_to_repeat(
    made: ClusterStudy, prepared: Prepared
) -> None:
    with made.running("--", *TRAINED) as process:
        made.wait_for_step(20, ["0"])
        process.kill()
        process.wait()
        wait_until("both trainings", lambda: all((made.root / path).is_file() for path in TRAINED))
        wait_until("their jobs", lambda: {item.state for item in made.jobs()} == {"COMPLETED"})
    made.finish("--unlock")
    made.finish("--", *TRAINED)
    assert [made.begun(job) for job in JOBS] == [["COMPLETED"]] * 2
    assert made.weights() == prepared.weights


def test_a_training_of_many_slices(prepared: Prepared, tmp_path: Path) -> None:
    """Jobs of three minutes, each left after eighty seconds, of which the start takes a part."""
    made, whole = prepared.again(tmp_path / "study"), prepared.again(tmp_path / "whole")
    runtime = {"checkpoint_s": 3600, "log_every": 100, "margin_s": 100}
    for one in (made, whole):
        configure(one, steps=round(SLICES_S / prepared.step_s), runtime=runtime)
    done = whole.run("--", TRAINED[0])
    assert done.returncode == 0, done.stdout + done.stderr
    made.finish("--set-resources", "train:runtime=3", "--", TRAINED[0])
    begun = made.begun(JOBS[0])
    assert begun == ["REQUEUED"] * (len(begun) - 1) + ["COMPLETED"]
    assert len(begun) >= 3
    assert made.log("0").count("asked to stop; step") == len(begun) - 1
    assert made.log("0").count("training goes on from step") == len(begun) - 1
    assert made.weights() == whole.weights()
