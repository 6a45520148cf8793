"""Which device work runs on."""

from __future__ import annotations

import torch

from tenter.errors import DeviceError


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
