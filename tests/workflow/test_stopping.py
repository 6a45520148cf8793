"""A run is stopped by Ctrl-C, which a terminal sends to every process of the run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from builders.clones import Clone

COMMAND = (
    "snakemake", "--profile", "profiles/local", "--cores", "2", "--configfile", "config/trial.yaml",
)  # fmt: skip


@pytest.fixture
def long_study(finished: Clone, tmp_path: Path) -> Clone:
    """The finished study, whose trainings must now take ten thousand steps more."""
    made = Clone(tmp_path / "clone")
    shutil.copytree(finished.root, made.root, symlinks=True)
    content = made.settings()
    for model in content["models"].values():
        model["training"] = model["training"] | {"steps": 10_000}
    made.config.write_text(yaml.safe_dump(content))
    return made


def output(study: Clone) -> Path:
    return study.root / "output.txt"


@pytest.fixture
def running(long_study: Clone) -> Iterator[subprocess.Popen[str]]:
    """A run whose trainings have begun."""
    environment = os.environ | {"PYTHONPATH": str(long_study.root / "src"), "OMP_NUM_THREADS": "1"}
    with output(long_study).open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", *COMMAND],
            cwd=long_study.root,
            env=environment,
            stdout=stream,
            stderr=stream,
            text=True,
            start_new_session=True,
        )
    logs = long_study.results / "logs/train"
    while process.poll() is None and not any(
        "step 50/" in log.read_text() for log in logs.rglob("*.log")
    ):
        time.sleep(0.2)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def interrupted(study: Clone, process: subprocess.Popen[str], *pauses: float) -> list[str]:
    """What is shown from the first Ctrl-C on; one more follows after each pause."""
    begin = output(study).stat().st_size
    os.killpg(process.pid, signal.SIGINT)
    for pause in pauses:
        time.sleep(pause)
        os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=120) == 1
    told = output(study).read_bytes()[begin:].decode()
    assert len(told) < 1500
    assert "Traceback" not in told
    assert "CalledProcessError" not in told
    return [line for line in told.splitlines() if line]


LAST = r"stopped; .*\d (training|job).*; the same command continues"


def test_the_last_line_says_what_is_saved(
    long_study: Clone, running: subprocess.Popen[str]
) -> None:
    last = interrupted(long_study, running, 0.3)[-1]
    assert re.fullmatch(LAST, last)
    assert re.search(r"\d trainings? saved at steps? \d+( to \d+)? of 10000", last)


@pytest.mark.soak
@pytest.mark.parametrize("pauses", [(0.05,), (0.3,), (0.1, 0.1), (0.5, 0.5, 0.5)])
def test_further_interrupts_end_no_worse(
    long_study: Clone, running: subprocess.Popen[str], pauses: tuple[float, ...]
) -> None:
    assert re.fullmatch(LAST, interrupted(long_study, running, *pauses)[-1])
    assert not list((long_study.root / ".snakemake/locks").glob("*"))
