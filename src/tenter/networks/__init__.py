"""Networks: two images in, a displacement field out; none ever sees a label.

The network called `x` in the configuration is the class named below in `networks/x.py`,
imported when it is built, so that a training reads the code of its own network alone.
"""

from __future__ import annotations

import importlib

from torch import nn

from tenter import config

CLASSES = {"local": "LocalNet", "global": "GlobalNet", "unet": "UNet", "composite": "CompositeNet"}
"""Module of each network, and the class in it."""


def build(settings: config.Network, channels: int, dimensions: int = 3) -> nn.Module:
    """A network with fresh weights, drawn from torch's generator; its field is exactly zero.

    Args:
        settings: which network, and its sizes.
        channels: of the moving and the fixed image together; 2 for one channel each.
        dimensions: 3, or 2.

    Returns:
        A module whose `forward(moving, fixed)` takes images `[b, c, *space]` of any size on one
        grid and gives the field `[b, d, *space]`, in voxels: warped(p) = moving(p + u(p)).
    """
    module = importlib.import_module(f"tenter.networks.{settings.name}")
    network: nn.Module = getattr(module, CLASSES[settings.name])(settings, channels, dimensions)
    return network
