"""`tenter train` as a process: killed or asked to stop at any time,
it ends with the same weights.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builders.training_cases import Prepared, prepare, settings
from tenter import finished, provenance
from tenter.training import models

STEPS = 120
PATIENCE_S = 900.0
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
    _, text = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, text
    return text


def saved(folder: Path) -> int:
    """Steps of the newest checkpoint."""
    return max(
        (int(path.stem[5:]) for path in (folder / "checkpoints").glob("step-*.json")), default=-1
    )


def wait_for(folder: Path, step: int, process: subprocess.Popen[str]) -> None:
    while saved(folder) < step and process.poll() is None:
        time.sleep(0.001)


def weights(folder: Path) -> str:
    """sha256 of the finished weights, after reading them."""
    models.weights(folder / "local/fold-0")
    return str(finished.describe(folder / "local/fold-0")["weights_sha256"])


@pytest.fixture(scope="module")
def unbroken(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("unbroken")
    finish(start(prepared, folder), 0)
    return weights(folder)


def test_killed_at_random_times_it_ends_with_the_same_weights(
    prepared: Prepared, unbroken: str, tmp_path: Path
) -> None:
    chance = random.Random(int(os.environ.get("TENTER_SEED", "0")))  # noqa: S311 - no secret
    wanted, trainings, killed = int(os.environ.get("TENTER_KILLS", "2")), 0, 0
    while killed < wanted:
        folder = tmp_path / str(trainings)
        trainings += 1
        kills = kill_repeatedly(prepared, folder, chance, wanted - killed)
        finish(start(prepared, folder), 0)
        assert weights(folder) == unbroken, f"training {trainings}, killed {kills} times"
        killed += kills
    sys.stderr.write(f"{killed} kills of {trainings} trainings: each ended with the same weights\n")


def kill_repeatedly(prepared: Prepared, folder: Path, chance: random.Random, most: int) -> int:
    """Kill a training at random times until it ends before it is killed; how often it was."""
    for kills in range(most):
        before = saved(folder)
        process = start(prepared, folder)
        wait_for(folder, before + chance.randrange(2, 30), process)
        time.sleep(chance.uniform(0, 0.02))
        process.kill()
        _, text = process.communicate(timeout=PATIENCE_S)
        if kills:
            assert f"training goes on from step {before}" in text
        if process.returncode == 0:
            return kills
        assert process.returncode == -signal.SIGKILL, text
        if saved(folder) < STEPS:
            assert not (folder / "local").exists() or not list(
                (folder / "local/fold-0").glob("[!.]*")
            )
    return most


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
