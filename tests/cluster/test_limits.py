"""Clusters without accounting, and clusters that take few jobs of one user."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.clusters import PATIENCE_S, SCRIPT, TABLES, ClusterStudy, command, study
from tenter import launching

IMAGES = TABLES[::2]
"""Tables of prepared images: one job each, and nothing before them but the plan."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ClusterStudy:
    return study(tmp_path_factory.mktemp("limits"))


def again(made: ClusterStudy) -> None:
    """Forget what was prepared."""
    for name in IMAGES:
        (made.root / name).unlink(missing_ok=True)


@pytest.fixture
def without_accounting() -> Iterator[None]:
    subprocess.run([SCRIPT, "stop"], check=True, timeout=120)
    own = os.environ | {"ACCOUNTING": "none"}
    subprocess.run([SCRIPT, "start"], check=True, timeout=120, env=own)
    yield
    subprocess.run([SCRIPT, "stop"], check=True, timeout=120, env=own)
    subprocess.run([SCRIPT, "start"], check=True, timeout=120)


LIMITS = {
    "association": ("user", "root", "MaxSubmitJobs"),
    "quality of service": ("qos", "normal", "MaxSubmitJobsPerUser"),
}


@pytest.fixture(params=LIMITS)
def limit(request: pytest.FixtureRequest) -> Iterator[str]:
    """A limit of one job a user."""
    kind, name, key = LIMITS[request.param]
    command("sacctmgr", "--immediate", "modify", kind, name, "set", f"{key}=1")
    yield key
    command("sacctmgr", "--immediate", "modify", kind, name, "set", f"{key}=-1")


def test_the_profile_needs_no_account(
    small: ClusterStudy,
    without_accounting: None,  # noqa: ARG001
) -> None:
    again(small)
    small.finish("--", *IMAGES)
    assert all((small.root / name).is_file() for name in IMAGES)
    assert "sbatch: error" not in small.said()
    assert launching.submission_limit() is None


def test_no_more_jobs_are_submitted_than_the_cluster_takes(
    small: ClusterStudy,
    limit: str,  # noqa: ARG001
) -> None:
    again(small)
    (small.root / "said.log").unlink(missing_ok=True)
    small.finish("--", *IMAGES)
    said = small.said()
    assert "this cluster takes 1 jobs of yours at a time (MaxSubmitJobs)" in said
    assert "sbatch failed" not in said
    assert {job.state for job in small.jobs()} == {"COMPLETED"}


def test_without_a_limit_there_is_none() -> None:
    assert launching.submission_limit() is None


def test_a_node_with_other_code_than_the_plan_is_told(small: ClusterStudy) -> None:
    again(small)
    (small.root / "said.log").unlink(missing_ok=True)
    module = small.root / "src/tenter/cases/preparation.py"
    kept = module.read_text()
    chunk = Path(IMAGES[0]).name.partition(".")[0]
    try:
        with small.running("--retries", "0", "--", IMAGES[0]) as process:
            small.number_of(f"prepare_images_wildcards_{chunk}")
            module.write_text(f"{kept}\nLATER = 1\n")  # its two Snakemakes are still starting
            assert process.wait(PATIENCE_S) != 0
    finally:
        module.write_text(kept)
    assert "prepare_images: its code changed since this job was planned" in small.said()
