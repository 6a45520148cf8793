"""Several processes learn what one does: equal weights and figures, from equal draws."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import shared_steps
from builders.training_cases import settings
from tenter import networks
from tenter.config import Training
from tenter.errors import DeviceError
from tenter.training.team import ALONE, Team

TESTS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shared_by_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes are left with, each in its own files."""
    folder = tmp_path_factory.mktemp("team")
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*start, str(TESTS / "shared_steps.py"), str(folder)]
    done = subprocess.run(
        command,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def weights(left: dict[str, Any]) -> Tensor:
    return torch.cat([value.flatten() for value in left["weights"].values()])


@pytest.mark.parametrize("kind", shared_steps.KINDS)
def test_two_processes_learn_what_one_does_with_the_whole_batch(
    kind: str, shared_by_two: Path
) -> None:
    alone = shared_steps.learnt(kind)
    first, second = (torch.load(shared_by_two / f"{kind}-{rank}.pt") for rank in range(2))
    torch.testing.assert_close(weights(first), weights(alone), rtol=0, atol=1e-8)
    assert torch.equal(weights(first), weights(second))
    assert first["figures"] == pytest.approx(alone["figures"], abs=1e-8)


def test_shares_are_equal_parts_of_each_part_in_order() -> None:
    training = Training(batch=8, accumulate=2)
    shares = [Team(rank, 2).shares(training) for rank in range(2)]
    assert shares == [(0, 1, 4, 5), (2, 3, 6, 7)]
    assert ALONE.shares(training) == tuple(range(8))


def test_pairs_that_cannot_be_shared_equally_are_refused() -> None:
    with pytest.raises(DeviceError, match="3 processes cannot share 4 pairs equally"):
        Team(0, 3).shares(Training(batch=4))


def test_cases_are_dealt_and_nobody_has_one_twice() -> None:
    dealt = [list(Team(rank, 3).own(range(7))) for rank in range(3)]
    assert dealt == [[0, 3, 6], [1, 4], [2, 5]]


@pytest.mark.parametrize(
    "network", [{"name": "unet", "norm": "batch"}, {"name": "local", "parity": True}]
)
def test_networks_that_normalise_over_the_batch_are_refused(network: dict[str, Any]) -> None:
    chosen = settings(network={**network, "channels": 1})
    with pytest.raises(DeviceError, match="normalises over the batch"):
        Team(0, 2).replicated(networks.build(chosen.network, 2))
