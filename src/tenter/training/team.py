"""The processes that train one network together: one per GPU, each with a share of every batch."""

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
from tenter.records import Fault

T = TypeVar("T")

_VARIABLES = ("TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE", "LOCAL_RANK")
"""Environment variables that torchrun sets for each process."""


_NAMES = inspect.signature(DistributedDataParallel).parameters
_BUFFERS = "forward_sync_buffers" if "forward_sync_buffers" in _NAMES else "broadcast_buffers"
"""PyTorch's option to broadcast buffers before each step; not needed, as they are constant."""


class Team:
    """The processes of one training; a single process is a team, too.

    Every value that decides how the training proceeds is the same in all processes: `agreed`,
    `gathered` and `told` must be called by all of them or by none.

    Args:
        rank: this process's number, from 0.
        size: number of processes.
        host_group: process group for plain values on the hosts; None for a single process.
    """

    def __init__(
        self, rank: int = 0, size: int = 1, host_group: distributed.ProcessGroup | None = None
    ) -> None:
        self.rank = rank
        self.size = size
        self._host_group = host_group

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def shares(self, training: Training) -> tuple[int, ...]:
        """This process's samples of a whole batch: an equal share of each of its parts.

        Raises:
            DeviceError: the pairs cannot be shared out equally.
        """
        pairs = training.batch // training.accumulate
        if pairs % self.size:
            message = (
                f"{self.size} processes cannot share {pairs} pairs equally (training.batch over "
                "training.accumulate)"
            )
            fix = "change runtime.devices or runtime.nodes, or these"
            raise DeviceError(Fault("training.batch", message, fix))
        share = pairs // self.size
        starts = range(self.rank * share, training.batch, pairs)
        return tuple(sample for start in starts for sample in range(start, start + share))

    def replicated(self, network: nn.Module) -> nn.Module:
        """The network with gradients averaged over all processes.

        Raises:
            DeviceError: it needs statistics over a batch that no process sees as a whole.
        """
        if self.size == 1:
            return network
        kinds = {layer.kind for layer in network.modules() if isinstance(layer, Normalisation)}
        if kinds & {"batch", "label-reg"}:
            message = (
                "normalises over the batch (`norm: batch`, or `parity`), which "
                f"{self.size} processes share"
            )
            fix = "set runtime.devices and runtime.nodes to 1, or another norm"
            raise DeviceError(Fault("the network", message, fix))
        device = next(network.parameters()).device
        device_ids = [device.index] if device.type == "cuda" else None
        options: dict[str, Any] = {_BUFFERS: False, "gradient_as_bucket_view": True}
        return DistributedDataParallel(network, device_ids=device_ids, **options)

    def apart(self, run: nn.Module, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """Context for one part of a batch: gradients are exchanged only with the last part."""
        if last or not isinstance(run, DistributedDataParallel):
            return contextlib.nullcontext()
        context: contextlib.AbstractContextManager[None] = run.no_sync()
        return context

    def total(self, numbers: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Sums over all processes, without a gradient; does not wait for a GPU."""
        result = numbers.detach().clone()
        if self._host_group is not None:
            distributed.all_reduce(result)
        return result

    def agreed(self, code: int | None) -> int | None:
        """The exit code that any process was asked to stop with, or None."""
        if self._host_group is None:
            return code
        codes = torch.tensor([-1 if code is None else code])
        distributed.all_reduce(codes, distributed.ReduceOp.MAX, group=self._host_group)
        largest = int(codes)
        return None if largest < 0 else largest

    def gathered(self, value: T) -> list[T]:
        """Every process's value, by rank."""
        values: list[Any] = [value] * self.size
        if self._host_group is not None:
            distributed.all_gather_object(values, value, group=self._host_group)
        return values

    def from_leader(self, value: T) -> T:
        """The leading process's value, broadcast to all."""
        values: list[Any] = [value]
        if self._host_group is not None:
            distributed.broadcast_object_list(values, src=0, group=self._host_group)
        result: T = values[0]
        return result

    def own(self, values: Sequence[T]) -> Sequence[T]:
        """This process's share of independent work items."""
        return values[self.rank :: self.size]


ALONE = Team()


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[tuple[Team, torch.device]]:
    """Join the processes started by torchrun, each with its own GPU; without torchrun, `ALONE`.

    Args:
        device: the selected one.

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
                f"process {local + 1} of this node has no GPU: torch sees "
                f"{torch.cuda.device_count()}"
            )
            fix = "lower runtime.devices, or let the scheduler give as many GPUs"
            raise DeviceError(Fault("runtime.devices", message, fix))
        torch.cuda.set_device(device)
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo", rank=rank, world_size=size
    )
    if rank:
        logging.getLogger("tenter").setLevel(logging.ERROR)
    leaving: SystemExit | None = None
    try:
        yield Team(rank, size, distributed.new_group(backend="gloo")), device
    except SystemExit as request:  # by all of them
        leaving = request
    # Not reached after an error: it could wait for the others while torchrun waits for this one.
    distributed.destroy_process_group()
    if leaving is not None:
        raise leaving
