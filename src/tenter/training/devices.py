"""Which device work runs on, and how a network is run there."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from tenter.errors import DeviceError

KEPT_BYTES = 64 << 20
"""Freed blocks of memory up to this size are kept for the next tensor, on a CPU."""

_INNERMOST = {4: torch.channels_last, 5: torch.channels_last_3d}


def select_device(name: str) -> torch.device:
    """Turn `auto`, `cpu` or `cuda` into a device; `auto` takes a GPU where there is one.

    Raises:
        DeviceError: a GPU was asked for and there is none.
    """
    available = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if available else "cpu")
    if torch.device(name).type == "cuda" and not available:
        message = (
            f"device {name!r} was asked for but torch sees no GPU; set runtime.device to `auto` or `cpu`"
        )
        raise DeviceError(message)
    return torch.device(name)


@dataclass(frozen=True, slots=True)
class Execution:
    """How a network is run while it learns; the same arithmetic, rounded otherwise.

    Attributes:
        compiled: by `torch.compile`: fused kernels, on a GPU replayed as CUDA graphs.
        channels_last: whether weights of convolutions lie with channels innermost, on a GPU.
    """

    compiled: bool = False
    channels_last: bool = False


PLAIN = Execution()


def executed(network: nn.Module, execution: Execution) -> nn.Module:
    """The network as it is run; it shares its weights with the one that is given.

    Args:
        network: on its device.
        execution: how it shall be run.
    """
    device = next(network.parameters()).device
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # each convolution by the fastest way, found at its first call
    else:
        keep_freed_memory()
    if execution.channels_last and device.type == "cuda":
        for weight in network.parameters():
            if weight.ndim in _INNERMOST:  # cuDNN takes the format of the weights
                weight.data = weight.data.contiguous(memory_format=_INNERMOST[weight.ndim])
    if not execution.compiled:
        return network
    # One static graph for each size of batch; graphs save the host's time, which a CPU has none of.
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    return cast("nn.Module", torch.compile(network, mode=mode, dynamic=False))


def begin_step(execution: Execution, device: torch.device) -> None:
    """Tell CUDA graphs that what the last step made is no longer needed."""
    if execution.compiled and device.type == "cuda":
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call] # torch does not annotate it


def keep_freed_memory() -> bool:
    """Have the C library keep the blocks that a step frees, if it is glibc.

    Each tensor beyond 32 MB would else be returned to the kernel, which clears every page of the next one.
    Larger ones than `KEPT_BYTES` still are: they fit into each other's place too seldom, and memory grows.

    Returns:
        whether it will.
    """
    change = getattr(ctypes.CDLL(None), "mallopt", None)
    trim_threshold, mmap_threshold = -1, -3  # as malloc.h numbers them
    return change is not None and all(
        change(option, KEPT_BYTES) == 1 for option in (trim_threshold, mmap_threshold)
    )
