"""From the host to where work runs, so that a GPU is never waited for."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor


def uploaded(values: Shaped[np.ndarray, "..."] | Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Numbers of the host on a device.

    A GPU copies from page-locked memory while the host goes on; before it copies from any other, the
    host waits for all that the GPU was told to do. PyTorch keeps page-locked memory for the next use.

    Args:
        values: on the host.
        device: where they are wanted.
        dtype: of the result.
    """
    source = values if isinstance(values, Tensor) else torch.from_numpy(values)
    if device.type == "cpu":
        return source.to(dtype)
    locked = torch.empty(source.shape, dtype=dtype, pin_memory=True)
    return locked.copy_(source).to(device, non_blocking=True)
