"""`tenter train` under torchrun: two processes are stopped as one is,
and end with the same weights.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builders.training_cases import Prepared, prepare, settings
from tenter import finished, provenance
from tenter.history import read_history

STEPS = 150
CHOSEN = settings(steps=STEPS, average=0.9, validation={"fraction": 0.5, "every": 50})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("prepared"), pairs=5)


def start(
    prepared: Prepared, folder: Path, processes: int = 2, checkpoint_s: float = 0
) -> subprocess.Popen[str]:
    said = CHOSEN.model_dump_json()
    flags = {
        **{name: prepared.flags[name] for name in ("cases", "plan")},
        **{name: prepared.flags[name][0] for name in ("images", "labels")},
        "fold": "0",
        "settings": said,
        "code": provenance.fingerprint("train", said),
        "output": folder / "local/fold-0",
        "checkpoints": folder / "checkpoints",
        "device": "cpu",
        "checkpoint-s": checkpoint_s,
        "log-every": "10",
    }
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    run = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    command = [
        sys.executable,
        "-m",
        *(run if processes > 1 else []),
        "tenter.cli.main",
        "train",
        *words,
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    _, text = process.communicate(timeout=180)
    return text


def saved(folder: Path) -> int:
    """Steps of the newest checkpoint."""
    return max(
        (int(path.stem[5:]) for path in (folder / "checkpoints").glob("step-*.json")), default=-1
    )


def wait_for(folder: Path, step: int, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 180
    while saved(folder) < step and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    assert process.poll() is None, finish(process)


def weights_sha256(folder: Path) -> str:
    return str(finished.describe(folder / "local/fold-0")["weights_sha256"])


@pytest.fixture(scope="module")
def undisturbed(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    process = start(prepared, folder)
    text = finish(process)
    assert process.returncode == 0, text
    return folder


def test_two_processes_make_one_model_that_a_single_one_makes_too(
    prepared: Prepared, undisturbed: Path, tmp_path: Path
) -> None:
    process = start(prepared, tmp_path, 1)
    text = finish(process)
    assert process.returncode == 0, text
    both = [folder / "local/fold-0" for folder in (undisturbed, tmp_path)]
    # In float32 Adam makes much of the last digits of gradients near 0;
    # weights are compared in float64, in tests/unit/training/test_team.py.
    shared, alone = (read_history(folder / finished.HISTORY) for folder in both)
    assert [row["step"] for row in shared] == [row["step"] for row in alone]
    assert [row["loss"] for row in shared if "loss" in row] == pytest.approx(
        [row["loss"] for row in alone if "loss" in row], rel=0.01
    )
    names = [{path.name for path in folder.iterdir()} for folder in both]
    assert names[0] == names[1]


def test_killed_and_asked_to_stop_two_processes_end_with_the_same_weights(
    prepared: Prepared, undisturbed: Path, tmp_path: Path
) -> None:
    process = start(prepared, tmp_path)
    wait_for(tmp_path, 10, process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)  # torchrun ends the other one
    finish(process)
    assert process.returncode != 0

    killed = saved(tmp_path)
    process = start(prepared, tmp_path, checkpoint_s=3600)
    assert process.stderr is not None
    assert any(
        f"/{STEPS}, loss" in line for line in process.stderr
    )  # it has gone on for some steps
    process.terminate()
    finish(process)
    assert process.returncode != 0
    assert killed < saved(tmp_path) < STEPS

    process = start(prepared, tmp_path)
    text = finish(process)
    assert process.returncode == 0, text
    assert text.count("training goes on from step") == 1
    assert weights_sha256(tmp_path) == weights_sha256(undisturbed)
