"""A real Slurm cluster on this machine, where the environment asks for one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from builders.clusters import SCRIPT, Prepared, prepare

ASKED = "TENTER_CLUSTER"


@pytest.fixture(scope="session", autouse=True)
def cluster() -> Iterator[None]:
    """Install Slurm from the distribution's packages and boot it;
    one that runs already is left running.
    """
    if os.environ.get(ASKED) != "1":
        pytest.skip(
            f"{ASKED}=1 (as root, on Debian) installs Slurm's packages and runs these tests"
        )
    before = subprocess.run([SCRIPT, "status"], capture_output=True, check=False).returncode == 0
    for verb in ("install", "start"):
        subprocess.run([SCRIPT, verb], check=True, timeout=600)
    yield
    if not before:
        subprocess.run([SCRIPT, "clean"], check=True, timeout=120)


@pytest.fixture(scope="session")
def prepared(
    cluster: None,  # noqa: ARG001 - it runs first
    tmp_path_factory: pytest.TempPathFactory,
) -> Prepared:
    """A study of which nothing is trained yet, and what its trainings end with."""
    return prepare(tmp_path_factory.mktemp("prepared"))
