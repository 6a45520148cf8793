"""Every network at every size and in both numbers of dimensions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tenter import config, networks

SHAPES = ((1, 1, 1), (2, 1, 3), (2, 2, 2), (5, 7, 3), (17, 13, 11), (1, 1), (7, 2), (31, 16))
LOCAL, UNET = {"name": "local", "channels": 2}, {"name": "unet", "channels": 2}
SETTINGS: dict[str, dict[str, Any]] = {
    "local": LOCAL,
    "local, few levels": LOCAL | {"levels": [1, 3]},
    "local, velocity": LOCAL | {"output": "velocity"},
    "local, bspline": LOCAL | {"output": "bspline"},
    "local, parity": LOCAL | {"parity": True},
    "unet": UNET,
    "unet, fine": UNET | {"finest": 0, "depth": 5, "norm": "batch"},
    "unet, velocity": UNET | {"output": "velocity", "norm": "group"},
    "unet, bspline": UNET | {"output": "bspline", "control_spacing": 5},
    "global": {"name": "global", "channels": 2},
    "global, batch": {"name": "global", "channels": 2, "norm": "batch", "finest": 0},
    "global, parity": {"name": "global", "channels": 2, "parity": True, "finest": 0},
    "keypoint": {"name": "keypoint", "channels": 2, "points": 4},
    "keypoint, fine": {
        "name": "keypoint",
        "channels": 2,
        "points": 4,
        "finest": 0,
        "depth": 4,
        "norm": "batch",
    },
    "cascade": {"name": "cascade", "network": UNET},
    "composite": {
        "name": "composite",
        "first": {"name": "keypoint", "channels": 2},
        "second": UNET,
    },
}


def built(name: str, shape: tuple[int, ...]) -> nn.Module:
    torch.manual_seed(0)
    size = {"size": shape} if name == "global, parity" else {}
    holder = {"network": SETTINGS[name] | size}
    network = networks.build(config.Model.model_validate(holder).network, 2, len(shape))
    for key, weight in network.named_parameters():
        if "head" in key:
            nn.init.normal_(weight, std=0.1)
    return network


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", SETTINGS)
def test_any_size_is_registered_and_learnt_from(name: str, shape: tuple[int, ...]) -> None:
    network = built(name, shape)
    images = torch.rand(2, 1, 1, *shape)
    field = network(*images)
    assert field.shape == (1, len(shape), *shape)
    torch.autograd.backward(field.square().sum())
    gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
    assert bool(torch.isfinite(field).all())
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
    assert bool(torch.isfinite(network.eval()(*images)).all())


@pytest.mark.parametrize("name", SETTINGS)
def test_half_precision_gives_gradients_of_sane_size(name: str) -> None:
    """Some kernels have returned garbage beyond all bounds where an axis is shorter than they
    are.
    """
    shape = (17, 13, 11)
    torch.manual_seed(1)
    images = torch.rand(2, 2, 1, *shape)
    sizes = []
    for half in (False, True):
        network = built(name, shape)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            field = network(*images)
        torch.autograd.backward(field.square().sum())
        sizes.append(
            max(
                weight.grad.abs().max().item()
                for weight in network.parameters()
                if weight.grad is not None
            )
        )
    assert 0.1 < sizes[1] / sizes[0] < 10
