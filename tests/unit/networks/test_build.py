from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tenter import config, networks

SETTINGS: tuple[config.Network, ...] = (
    config.LocalNetwork(channels=2),
    config.GlobalNetwork(channels=2),
    config.KeypointNetwork(channels=2),
    config.UNetNetwork(channels=2),
    config.CascadeNetwork(network=config.UNetNetwork(channels=2)),
    config.CompositeNetwork(first=config.KeypointNetwork(channels=2)),
)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.name)
def test_each_configured_network_is_built(settings: config.Network) -> None:
    network = networks.build(settings, 2)
    assert type(network).__name__ == networks.CLASSES[settings.name]
    assert type(network).__module__ == f"tenter.networks.{settings.name}"


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.name)
def test_images_may_differ_in_channels(settings: config.Network) -> None:
    network = networks.build(settings, (2, 1))
    field = network(torch.randn(1, 2, 8, 9, 7), torch.randn(1, 1, 8, 9, 7))
    assert field.shape == (1, 3, 8, 9, 7)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.name)
def test_weights_follow_the_seed(settings: config.Network) -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(
            torch.cat([weight.flatten() for weight in networks.build(settings, 2).parameters()])
        )
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_every_network_of_the_configuration_is_here() -> None:
    written = {path.stem for path in Path(networks.__file__).parent.glob("*.py")}
    assert set(networks.CLASSES) == {settings.name for settings in SETTINGS}
    assert set(networks.CLASSES) <= written


def test_one_number_of_channels_is_both_sides_together() -> None:
    one, other = (
        {
            name: weight.shape
            for name, weight in networks.build(SETTINGS[2], channels).named_parameters()
        }
        for channels in (3, (2, 1))
    )
    assert one == other


BUILT = """
import sys, json
import tenter.networks
from tenter import config, provenance
rooms = lambda: {name for name in sys.modules if name.startswith("tenter.networks.")}
before = rooms()
dense = config.UNetNetwork(channels=1, output="velocity")
cascade = config.CascadeNetwork(network=dense)
network = config.CompositeNetwork(first=config.KeypointNetwork(channels=1), second=cascade)
tenter.networks.build(network, 2)
counted = provenance.modules("train", json.dumps({"network": network.model_dump()}))
print(sorted(before), sorted(rooms() - counted), "tenter.networks.local" in counted)
"""


def test_a_network_is_imported_when_it_is_built_and_its_code_counts() -> None:
    result = subprocess.run(
        [sys.executable, "-c", BUILT], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[] [] False"
