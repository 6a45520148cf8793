"""The processes that train one network together: one a GPU, each with its share of every batch."""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from tenter.config import Training
from tenter.errors import DeviceError
from tenter.networks.normalisation import Normalisation

T = TypeVar("T")

_VARIABLES = ("TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE", "LOCAL_RANK")
"""What torchrun tells each process that it starts."""


_NAMES = inspect.signature(DistributedDataParallel).parameters
_BUFFERS = "forward_sync_buffers" if "forward_sync_buffers" in _NAMES else "broadcast_buffers"
"""PyTorch's word for sending buffers anew before each step, which is not needed: ours are constants."""


class Team:
    """The processes of one training; on its own, one process is a team too.

    Whatever decides how the training goes on is the same in all of them: `agreed`, `gathered` and
    `told` are called by all or by none.

    Args:
        rank: this process's number, from 0.
        size: how many there are.
        words: where plain values travel, on hosts; None where a process is alone.
    """

    def __init__(self, rank: int = 0, size: int = 1, words: distributed.ProcessGroup | None = None) -> None:
        self.rank = rank
        self.size = size
        self._words = words

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def shares(self, training: Training) -> tuple[int, ...]:
        """The samples of a whole batch that are this process's: an equal share of each of its parts.

        Raises:
            DeviceError: the pairs cannot be shared out equally.
        """
        pairs = training.batch // training.accumulate
        if pairs % self.size:
            message = (
                f"{self.size} processes cannot share {pairs} pairs equally (training.batch over "
                "training.accumulate); change runtime.devices or runtime.nodes, or these"
            )
            raise DeviceError(message)
        own = pairs // self.size
        starts = range(self.rank * own, training.batch, pairs)
        return tuple(sample for start in starts for sample in range(start, start + own))

    def replicated(self, network: nn.Module) -> nn.Module:
        """The network as all processes learn it: its gradients are their mean's.

        Raises:
            DeviceError: it takes statistics over a batch that no process sees as a whole.
        """
        if self.size == 1:
            return network
        kinds = {layer.kind for layer in network.modules() if isinstance(layer, Normalisation)}
        if kinds & {"batch", "label-reg"}:
            message = (
                "the network normalises over the batch (`norm: batch`, or `parity`), which "
                f"{self.size} processes share: set runtime.devices and runtime.nodes to 1, or another norm"
            )
            raise DeviceError(message)
        device = next(network.parameters()).device
        own = [device.index] if device.type == "cuda" else None
        options: dict[str, Any] = {_BUFFERS: False, "gradient_as_bucket_view": True}
        return DistributedDataParallel(network, device_ids=own, **options)

    def apart(self, run: nn.Module, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """Where a part of a batch is learnt: gradients are exchanged with the last part's alone."""
        if last or not isinstance(run, DistributedDataParallel):
            return contextlib.nullcontext()
        apart: contextlib.AbstractContextManager[None] = run.no_sync()
        return apart

    def total(self, numbers: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Sums over all processes, without a gradient; a GPU is not waited for."""
        result = numbers.detach().clone()
        if self._words is not None:
            distributed.all_reduce(result)
        return result

    def agreed(self, code: int | None) -> int | None:
        """The exit code that any process was asked to stop with, or None."""
        if self._words is None:
            return code
        known = torch.tensor([-1 if code is None else code])
        distributed.all_reduce(known, distributed.ReduceOp.MAX, group=self._words)
        largest = int(known)
        return None if largest < 0 else largest

    def gathered(self, value: T) -> list[T]:
        """Every process's value, by rank."""
        values: list[Any] = [value] * self.size
        if self._words is not None:
            distributed.all_gather_object(values, value, group=self._words)
        return values

    def told(self, value: T) -> T:
        """The value of the process that leads."""
        values: list[Any] = [value]
        if self._words is not None:
            distributed.broadcast_object_list(values, src=0, group=self._words)
        told: T = values[0]
        return told

    def own(self, values: Sequence[T]) -> Sequence[T]:
        """This process's share of things that are worked on one by one."""
        return values[self.rank :: self.size]


ALONE = Team()


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[tuple[Team, torch.device]]:
    """Join the processes that torchrun has started, each with a GPU of its own; alone without torchrun.

    Args:
        device: that was chosen.

    Yields:
        the team, and this process's device.

    Raises:
        DeviceError: there are fewer GPUs on this node than processes.
    """
    if not all(name in os.environ for name in _VARIABLES):
        yield ALONE, device
        return
    rank, size, local = (int(os.environ[name]) for name in _VARIABLES[1:])
    if device.type == "cuda":
        device = torch.device("cuda", local)
        if local >= torch.cuda.device_count():
            message = (
                f"this node's process {local + 1} has no GPU: torch sees {torch.cuda.device_count()}; "
                "lower runtime.devices, or let the scheduler give as many GPUs"
            )
            raise DeviceError(message)
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", rank=rank, world_size=size)
    if rank:
        logging.getLogger("tenter").setLevel(logging.ERROR)
    leaving: SystemExit | None = None
    try:
        yield Team(rank, size, distributed.new_group(backend="gloo")), device
    except SystemExit as asked:  # by all of them
        leaving = asked
    # After an error this is not reached: it could wait for the others, and torchrun for this process.
    distributed.destroy_process_group()
    if leaving is not None:
        raise leaving
