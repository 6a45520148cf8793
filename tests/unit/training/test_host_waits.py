"""Nothing within a step makes the host wait for a GPU, whatever is learnt by it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import absent_gpu
from builders.training_cases import SPACING, settings
from tenter import networks
from tenter.sampling import batches
from tenter.sampling.draws import draw, outline
from tenter.training.step import Learner

TESTS = Path(__file__).parents[2]
STEPS = (*absent_gpu.NETWORKS, "everything", "images on the host", "a slice")


@pytest.fixture(scope="module")
def found() -> dict[str, list[str]]:
    """The calls that would make the host wait, by what is done on a GPU that is not there."""
    command = [sys.executable, str(TESTS / "absent_gpu.py")]
    waits: dict[str, list[str]] = json.loads(
        subprocess.run(command, capture_output=True, check=True).stdout
    )
    return waits


@pytest.mark.parametrize("what", STEPS)
def test_steps_wait_for_nothing(found: dict[str, list[str]], what: str) -> None:
    assert found[what] == []


@pytest.mark.parametrize(
    ("what", "call"),
    [
        ("item", "aten._local_scalar_dense"),
        ("upload", "aten._to_copy"),
        ("download", "aten._to_copy"),
    ],
)
def test_a_wait_that_is_planted_into_a_network_is_found(
    found: dict[str, list[str]], what: str, call: str
) -> None:
    (wait,) = found[f"planted {what}"]
    assert wait.startswith(call)


def test_a_report_waits(found: dict[str, list[str]]) -> None:
    assert any("_local_scalar_dense" in wait for wait in found["report"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="asks a GPU itself, and there is none")
@pytest.mark.parametrize("images", [True, False], ids=["resident", "on the host"])
def test_a_gpu_sees_no_wait_either(*, images: bool) -> None:
    device = torch.device("cuda", 0)
    chosen = settings(**absent_gpu.EVERYTHING)
    cases = [absent_gpu.near(case, device, images=images) for case in absent_gpu.CASES]
    learner = Learner(networks.build(chosen.network, 2).to(device), chosen, SPACING)
    try:
        for step in range(3):
            learner.learn(
                batches.apply(
                    draw(outline(cases, SPACING), chosen, fold="0", step=step), cases, device
                ),
                step,
            )
            torch.cuda.set_sync_debug_mode("error")  # the first step has made what is kept
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert learner.failed_at() is None
