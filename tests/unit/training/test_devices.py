"""How a network is run: compiled it is the same network, with the same weights."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch

from tenter import config, networks
from tenter.errors import DeviceError
from tenter.training.devices import PLAIN, Execution, executed, select_device

SMALL = config.UNetNetwork(channels=1, depth=1)


def test_a_network_that_is_run_plainly_is_itself() -> None:
    network = networks.build(SMALL, 2)
    assert executed(network, PLAIN) is network
    assert executed(network, Execution(channels_last=True)) is network


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # of PyTorch's own compiler
def test_a_compiled_network_has_the_same_weights() -> None:
    network = networks.build(SMALL, 2)
    compiled = executed(network, Execution(compiled=True))
    pairs = zip(network.parameters(), compiled.parameters(), strict=True)
    assert all(one is other for one, other in pairs)


def test_a_gpu_that_is_not_there_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(DeviceError, match=r"set runtime\.device"):
        select_device("cuda")
    assert select_device("auto") == torch.device("cpu")


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries are not told anything"
)
def test_memory_that_a_step_frees_is_kept_for_the_next() -> None:
    counted = (
        "import resource, sys, torch; from tenter.training import devices\n"
        "if sys.argv[1:]: assert devices.keep_freed_memory()\n"
        "for _ in range(3): torch.ones(12 << 20)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(10): torch.ones(12 << 20)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    command = [sys.executable, "-c", counted]
    plain, kept = (
        int(subprocess.run([*command, *more], check=True, capture_output=True).stdout)
        for more in ([], ["kept"])
    )
    assert kept < plain / 2  # a busy machine may give back a block or two
