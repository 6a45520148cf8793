"""Finished models on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tenter import finished, networks
from tenter.config import UNetNetwork
from tenter.errors import CheckpointError
from tenter.training import models

CPU = torch.device("cpu")
SETTINGS = UNetNetwork(channels=2, depth=1, norm="batch")


def saved(folder: Path, **described: Any) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    state = networks.build(SETTINGS, 3).state_dict()
    weights = {name: torch.randn(value.shape).to(value.dtype) for name, value in state.items()}
    network = SETTINGS.model_dump(mode="json")
    plain = {"fold": "2", "channels": {"moving": 1, "fixed": 2}, "plan": {"shape": [8, 8, 8]}}
    models.save(folder, weights, plain | {"network": network} | described)
    return weights


def test_a_model_comes_back_as_it_was(tmp_path: Path) -> None:
    weights = saved(tmp_path, plan={"shape": [4, 2, 3]})
    loaded = models.load(tmp_path, CPU)
    state = loaded.network.state_dict()
    assert all(torch.equal(state[name], value) for name, value in weights.items())
    assert (loaded.fold, loaded.folder, loaded.description["plan"]) == (
        "2",
        tmp_path,
        {"shape": [4, 2, 3]},
    )
    assert not loaded.network.training
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())


def test_equal_weights_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        saved(tmp_path / name)
    assert (
        len({(tmp_path / name / finished.WEIGHTS).read_bytes() for name in ("one", "other")}) == 1
    )


def test_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    path = tmp_path / finished.WEIGHTS
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors.*damaged"):
        models.load(tmp_path, CPU)


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    wider = UNetNetwork(channels=3, depth=1, norm="batch").model_dump(mode="json")
    saved(tmp_path, network=wider)
    with pytest.raises(CheckpointError, match="of another shape"):
        models.load(tmp_path, CPU)


@pytest.mark.parametrize("text", ["", "[]", '{"format": 99}'])
def test_what_describes_no_model_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / finished.DESCRIPTION).write_text(text)
    with pytest.raises(CheckpointError, match=r"model\.json"):
        models.load(tmp_path, CPU)


def test_an_absent_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="name the folder of a finished fold"):
        models.load(tmp_path, CPU)
