"""Launching: what starts one process, several on a node, and several nodes;
none of it is a setting.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from tenter import config, launching
from tenter.config import Runtime
from tenter.errors import InputError


def test_one_process_needs_nothing() -> None:
    assert launching.command(Runtime()) == ""
    assert launching.resources(Runtime(device="cpu")) == {"gpu": 0}


def test_several_gpus_of_a_node_are_started_by_torchrun_with_their_own_threads() -> None:
    words = shlex.split(launching.command(Runtime(devices=2, threads=3)))
    assert words[:2] == ["env", "OMP_NUM_THREADS=3"]
    assert words[3:] == ["torchrun", "--standalone", "--nproc-per-node=2", "--no-python"]


def test_several_nodes_get_one_torchrun_each_that_meet_at_the_first() -> None:
    runtime = Runtime(device="cpu", devices=4, nodes=2)
    text = launching.command(runtime)
    assert (
        "srun --nodes=2 --ntasks=2 --ntasks-per-node=1 --cpus-per-task=4 torchrun --nnodes=2"
        in text
    )
    assert "--nproc-per-node=4" in text
    assert '--rdzv-endpoint="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)":' in text
    assert launching.resources(runtime) == {"gpu": 0, "nodes": 2, "tasks": 2, "mpi": "srun"}


def _read(**runtime: Any) -> config.Config:
    content = {"study": "trial", "manifest": "pairs.tsv", "models": {"a": {}}, "runtime": runtime}
    return config.parse(content, Path("trial.yaml"))


def test_a_batch_that_cannot_be_shared_equally_is_refused_when_it_is_read() -> None:
    assert launching.processes(_read(devices=2, nodes=2).runtime) == 4
    with pytest.raises(InputError, match=r"models\.a: 6 processes .* cannot share 4 pairs equally"):
        _read(devices=3, nodes=2)
