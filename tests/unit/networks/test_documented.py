"""docs/reference/networks.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml

from tenter import config, networks

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "networks.md").read_text(
    encoding="utf-8"
)


def weights(settings: config.Network) -> int:
    with torch.device("meta"):
        network = networks.build(settings, (1, 1))
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize("name", networks.CLASSES)
def test_the_table_has_the_weights_of_each_network_at_its_defaults(name: str) -> None:
    row = re.search(rf"^\| \[`{name}`\].*$", PAGE, re.MULTILINE)
    assert row is not None
    settings = config.Model.model_validate({"network": {"name": name}}).network
    assert row.group().split("|")[3].strip().replace(" ", "") == str(weights(settings))


def test_the_composite_of_keypoints_has_the_weights_that_are_told() -> None:
    told = f"{weights(config.CompositeNetwork(first=config.KeypointNetwork())):,}".replace(",", " ")
    assert f"`first: {{name: keypoint}}` {told} |" in PAGE


@pytest.mark.parametrize(
    ("name", "count"), [("local", 18_906_351), ("global", 648_804), ("composite", None)]
)
def test_label_regs_networks_are_configured_as_told(name: str, count: int | None) -> None:
    block = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    settings = config.Model.model_validate({"network": yaml.safe_load(block[1])[name]}).network
    assert count is None or weights(settings) == count
