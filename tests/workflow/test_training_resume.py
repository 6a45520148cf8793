"""`tenter train` as a process: killed or asked to stop at any time, it ends with the same weights."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from learning import Prepared, prepare, settings
from tenter import provenance
from tenter.training import models

STEPS = 120
CHOSEN = settings(steps=STEPS, average=0.9, validation={"fraction": 0.4, "every": 20})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("prepared"), pairs=4)


def start(prepared: Prepared, folder: Path) -> subprocess.Popen[str]:
    said = CHOSEN.model_dump_json()
    flags = {
        "images": prepared.root / "images.tsv",
        "labels": prepared.root / "labels.tsv",
        "cases": prepared.root / "cases",
        "plan": prepared.root / "plan.json",
        "fold": "0",
        "settings": said,
        "code": provenance.fingerprint("train", said),
        "output": folder / "local/fold-0",
        "checkpoints": folder / "checkpoints",
        "device": "cpu",
        "checkpoint-s": "0",
        "log-every": "10",
    }
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "tenter.cli.main", "train", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], code: int) -> str:
    _, text = process.communicate(timeout=120)
    assert process.returncode == code, text
    return text


def saved(folder: Path) -> int:
    """Steps of the newest checkpoint."""
    return max((int(path.stem[5:]) for path in (folder / "checkpoints").glob("step-*.json")), default=-1)


def wait_for(folder: Path, step: int, process: subprocess.Popen[str]) -> None:
    while saved(folder) < step and process.poll() is None:
        time.sleep(0.001)


def weights(folder: Path) -> str:
    """sha256 of the finished weights, after reading them."""
    models.weights(folder / "local/fold-0")
    return str(models.describe(folder / "local/fold-0")["weights_sha256"])


@pytest.fixture(scope="module")
def unbroken(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("unbroken")
    finish(start(prepared, folder), 0)
    return weights(folder)


def test_killed_at_random_times_it_ends_with_the_same_weights(
    prepared: Prepared, unbroken: str, tmp_path: Path
) -> None:
    chance = random.Random(int(os.environ.get("TENTER_SEED", "0")))  # noqa: S311 - no secret
    for _ in range(int(os.environ.get("TENTER_KILLS", "2"))):
        process = start(prepared, tmp_path)
        wait_for(tmp_path, saved(tmp_path) + chance.randrange(2, 30), process)
        time.sleep(chance.uniform(0, 0.02))
        process.kill()
        finish(process, -signal.SIGKILL)
        assert not (tmp_path / "local").exists() or not list((tmp_path / "local/fold-0").glob("[!.]*"))
    text = finish(start(prepared, tmp_path), 0)
    assert re.search(r"training goes on from step \d+", text)
    assert weights(tmp_path) == unbroken


def test_asked_to_stop_it_leaves_a_checkpoint_at_once_and_a_damaged_one_costs_a_step(
    prepared: Prepared, unbroken: str, tmp_path: Path
) -> None:
    process = start(prepared, tmp_path)
    wait_for(tmp_path, 15, process)
    asked = saved(tmp_path)
    process.terminate()
    finish(process, 143)
    stopped = saved(tmp_path)
    assert stopped <= asked + 3
    newest = tmp_path / f"checkpoints/step-{stopped:09d}.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    text = finish(start(prepared, tmp_path), 0)
    assert f"{newest.name}: damaged" in text
    assert f"from step {stopped - 1}" in text
    assert weights(tmp_path) == unbroken
