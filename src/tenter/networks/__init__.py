"""Networks: two images in, a displacement field out; no network ever sees a label.

The network called `x` in the configuration is the class in `networks/x.py` that its settings name.
It is imported when it is built, so that a training depends only on the code of its own network.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from torch import nn

from tenter import config, plugin_imports
from tenter.config.alternatives import alternatives, names
from tenter.spatial import slices

CLASSES = {
    name: settings.builds
    for settings in alternatives(config.networks.NetworkSettings)
    for name in names(settings)
}
"""Module of each network, and the class in it."""


def build(
    settings: config.Network, channels: int | tuple[int, int], dimensions: int = 3
) -> nn.Module:
    """A network with initial weights, drawn from torch's generator.

    Its initial field is exactly zero, except for `keypoint`, whose points first lie near the
    centre.

    Args:
        settings: which network, and its sizes.
        channels: of the moving and of the fixed image; a single number is their sum, half each.
        dimensions: 3, or 2.

    Returns:
        A module whose `forward(moving, fixed)` takes images `[b, c, *space]` of any size on one
        grid and gives the field `[b, d, *space]`, in voxels: warped(p) = moving(p + u(p)).
    """
    sides = (channels - channels // 2, channels // 2) if isinstance(channels, int) else channels
    if isinstance(settings, config.CustomNetwork):
        return _custom(settings, sides, dimensions)
    module = importlib.import_module(f"tenter.networks.{settings.name}")
    network: nn.Module = getattr(module, CLASSES[settings.name])(settings, sides, dimensions)
    return network


def on_grid(
    settings: config.Network, channels: int | tuple[int, int], shape: Sequence[int]
) -> nn.Module:
    """A network from `build` for images on a plan's grid: two-dimensional if that is one slice.

    Args:
        settings: which network, and its sizes.
        channels: as in `build`.
        shape: voxels of the grid along its three axes.

    Returns:
        A module that takes `[b, c, *shape]` and gives `[b, 3, *shape]`; on a slice the field is
        zero along the normal.
    """
    axis = slices.normal(shape)
    if axis is None:
        return build(settings, channels)
    # Imported only for slices: a training depends on the code that it imports.
    from tenter.networks.flat import flattened  # noqa: PLC0415

    return flattened(build(settings, channels, 2), axis)


def _custom(
    settings: config.CustomNetwork, channels: tuple[int, int], dimensions: int
) -> nn.Module:
    code = plugin_imports.load(settings.reference)
    arguments = plugin_imports.arguments(settings.reference, code, settings.settings)
    network: nn.Module = code(channels=channels, dimensions=dimensions, **arguments)
    return network
