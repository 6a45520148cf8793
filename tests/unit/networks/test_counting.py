"""Arithmetic of networks is counted without doing it, and that leaves no trace."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from tenter import config, networks

SHAPE = (9, 8, 7)
SETTINGS: tuple[config.Network, ...] = (
    config.LocalNetwork(channels=1, parity=True),
    config.UNetNetwork(channels=1, output="velocity"),
    config.UNetNetwork(channels=1, output="bspline", control_spacing=3),
    config.GlobalNetwork(channels=1, parity=True, finest=0, size=SHAPE),
    config.CompositeNetwork(
        first=config.KeypointNetwork(channels=1), second=config.CascadeNetwork()
    ),
)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.name)
def test_a_network_is_counted_and_then_used(settings: config.Network) -> None:
    with FakeTensorMode(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        networks.build(settings, 2)(torch.zeros(1, 1, *SHAPE), torch.zeros(1, 1, *SHAPE))
    assert counter.get_total_flops() > 0
    field = networks.build(settings, 2)(*torch.rand(2, 1, 1, *SHAPE))
    assert bool(torch.isfinite(field).all())
