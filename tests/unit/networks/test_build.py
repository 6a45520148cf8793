from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tenter import config, networks

SETTINGS: tuple[config.Network, ...] = (
    config.LocalNetwork(channels=2),
    config.GlobalNetwork(channels=2),
    config.UNetNetwork(channels=2),
    config.CompositeNetwork(),
)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.name)
def test_each_configured_network_is_built(settings: config.Network) -> None:
    network = networks.build(settings, 2)
    assert type(network).__name__ == networks.CLASSES[settings.name]
    assert type(network).__module__ == f"tenter.networks.{settings.name}"


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.name)
def test_images_may_differ_in_channels(settings: config.Network) -> None:
    network = networks.build(settings, 3)
    field = network(torch.randn(1, 2, 8, 9, 7), torch.randn(1, 1, 8, 9, 7))
    assert field.shape == (1, 3, 8, 9, 7)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.name)
def test_weights_follow_the_seed(settings: config.Network) -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(torch.cat([weight.flatten() for weight in networks.build(settings, 2).parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_a_network_is_imported_when_it_is_built() -> None:
    code = "import sys, tenter.networks; print([n for n in sys.modules if n.startswith('tenter.networks.')])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
