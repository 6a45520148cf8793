"""Selection of the device, and how a network is executed on it."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from tenter.errors import DeviceError
from tenter.records import Fault

KEPT_BYTES = 64 << 20
"""On a CPU, freed memory blocks up to this size are reused for the next tensor."""

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
        fix = "set runtime.device to `auto` or `cpu`"
        raise DeviceError(Fault(f"device {name!r}", "was asked for but torch sees no GPU", fix))
    return torch.device(name)


@dataclass(frozen=True, slots=True)
class Execution:
    """How a network is executed during training; equal up to rounding.

    Attributes:
        compiled: use `torch.compile`: fused kernels, replayed as CUDA graphs on a GPU.
        channels_last: on a GPU, store convolution weights with channels innermost.
    """

    compiled: bool = False
    channels_last: bool = False


PLAIN = Execution()


def executed(network: nn.Module, execution: Execution) -> nn.Module:
    """The network prepared for execution; it shares its weights with `network`.

    Args:
        network: on its device.
        execution: how to run it.
    """
    device = next(network.parameters()).device
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = (
            True  # each convolution by the fastest way, found at its first call
        )
    else:
        keep_freed_memory()
    if execution.channels_last and device.type == "cuda":
        for weight in network.parameters():
            if weight.ndim in _INNERMOST:  # cuDNN takes the format of the weights
                weight.data = weight.data.contiguous(memory_format=_INNERMOST[weight.ndim])
    if not execution.compiled:
        return network
    # One static graph per batch size; CUDA graphs save launch overhead, which a CPU does not have.
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    return cast("nn.Module", torch.compile(network, mode=mode, dynamic=False))


def begin_step(execution: Execution, device: torch.device) -> None:
    """Tell CUDA graphs that the outputs of the last step are no longer needed."""
    if execution.compiled and device.type == "cuda":
        # torch does not annotate it
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]


def keep_freed_memory() -> bool:
    """Make the C library keep freed memory blocks, if it is glibc.

    Otherwise each tensor above 32 MB is returned to the kernel, which must clear every page of the
    next one. Blocks larger than `KEPT_BYTES` are still returned: they are reused too rarely, and
    memory use would grow.

    Returns:
        whether the C library accepted the settings.
    """
    change = getattr(ctypes.CDLL(None), "mallopt", None)
    trim_threshold, mmap_threshold = -1, -3  # as malloc.h numbers them
    return change is not None and all(
        change(option, KEPT_BYTES) == 1 for option in (trim_threshold, mmap_threshold)
    )
