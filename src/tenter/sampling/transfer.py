"""Copies from the host to a device without waiting for a GPU."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor


def uploaded(
    values: Shaped[np.ndarray, "..."] | Tensor, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Copy numbers from the host to a device.

    A GPU copies from page-locked memory while the host continues; before a copy from other memory
    the host waits until the GPU has finished all queued work. PyTorch caches page-locked memory.

    Args:
        values: on the host.
        device: destination.
        dtype: of the result.
    """
    source = values if isinstance(values, Tensor) else torch.from_numpy(values)
    if device.type == "cpu":
        return source.to(dtype)
    locked = torch.empty(source.shape, dtype=dtype, pin_memory=True)
    return locked.copy_(source).to(device, non_blocking=True)
