"""config/presets: label-reg's published settings, as the `models` of anyone's configuration."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tenter import config, networks
from tenter.losses.objective import Objective

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "config/presets"
PRESETS = sorted(path.stem for path in FOLDER.glob("*.yaml"))
LOCAL = 18_906_351
GLOBAL = 648_804
COARSE_HEADS = (64 + 128 + 256 + 512) * 3 * 27 + 4 * 3
"""Weights of the heads that the composite's dense part has not."""


def preset(name: str, folder: Path) -> config.Model:
    """The model of a preset, appended to a configuration without `models` as its first lines
    say.
    """
    text = "study: mine\nmanifest: mine.tsv\n" + (FOLDER / f"{name}.yaml").read_text(
        encoding="utf-8"
    )
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return config.read(path).models[name]


def on_grid(network: config.Network, size: tuple[int, int, int]) -> config.Network:
    """The same network for another grid: Global-Net is tied to one."""
    if isinstance(network, config.GlobalNetwork):
        return network.model_copy(update={"size": size})
    if isinstance(network, config.CompositeNetwork):
        return network.model_copy(update={"first": on_grid(network.first, size)})
    return network


@dataclasses.dataclass
class Pairs:
    """Four pairs with one label each."""

    moving: Tensor
    fixed: Tensor
    moving_labels: Tensor
    fixed_labels: Tensor
    present: Tensor
    structures: Tensor


def pairs(size: tuple[int, int, int]) -> Pairs:
    generator = torch.Generator().manual_seed(0)
    moving, fixed = torch.rand(2, 4, 1, *size, generator=generator)
    labels = torch.zeros(2, 4, 1, *size)
    labels[0, :, :, 2:7, 3:8, 2:6] = 1
    labels[1, :, :, 4:9, 3:9, 3:7] = 1
    return Pairs(
        moving, fixed, labels[0], labels[1], torch.ones(4, 1).bool(), torch.ones(4, 1).bool()
    )


def test_there_is_one_of_each_network() -> None:
    assert PRESETS == ["label-reg-composite", "label-reg-global", "label-reg-local"]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("label-reg-local", LOCAL),
        ("label-reg-global", GLOBAL),
        ("label-reg-composite", GLOBAL + LOCAL - COARSE_HEADS),
    ],
)
def test_a_preset_has_label_regs_weights(name: str, count: int, tmp_path: Path) -> None:
    model = preset(name, tmp_path)
    with torch.device("meta"):
        network = networks.build(model.network, (1, 1))
    assert sum(weight.numel() for weight in network.parameters()) == count


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_trained_as_label_reg_is(name: str, tmp_path: Path) -> None:
    model = preset(name, tmp_path)
    training = model.training
    assert (training.steps, training.batch, training.learning_rate) == (10_000, 4, 1e-5)
    assert (training.labels_per_pair, training.label_sampling) == (1, "uniform")
    plain = config.Training(learning_rate=1e-5)
    assert (training.schedule, training.weight_decay, training.clip, training.average) == (
        plain.schedule, 0, None, 0,
    )  # fmt: skip
    assert model.augmentation == config.Augmentation(affine=0.1)
    assert model.validation.fraction == 0
    (label,) = model.losses.labels
    assert isinstance(label, config.LabelLoss)
    assert (label.name, label.weight, label.kernel) == ("dice", 1, "gaussian")
    assert (label.scales_voxel, label.scales_mm) == ((0, 1, 2, 4, 8, 16), None)
    bends = () if "global" in name else (config.BendingLoss(units="voxel", weight=0.5),)
    assert model.losses.regularisers == bends


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_registers_and_learns(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, batch, size = preset(name, tmp_path), pairs((12, 13, 9)), (12, 13, 9)
    network = networks.build(on_grid(model.network, size), (1, 1))
    field = network(batch.moving, batch.fixed)
    assert field.shape == (4, 3, *size)
    assert field.abs().max() < 1e-5
    loss = Objective(model.losses, (1.5, 1.5, 1.5))(field, batch)["loss"]
    torch.autograd.backward(loss)
    heads = [weight for key, weight in network.named_parameters() if "head" in key]
    assert all(weight.grad is not None and weight.grad.any() for weight in heads)


def test_the_composites_parts_are_the_other_presets_but_for_the_levels(tmp_path: Path) -> None:
    composite, local, first = (
        preset(f"label-reg-{name}", tmp_path).network for name in ("composite", "local", "global")
    )
    assert isinstance(composite, config.CompositeNetwork)
    assert composite.parity
    assert composite.first == first
    assert composite.second == local.model_copy(update={"levels": (0,)})


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_how_it_is_used(name: str) -> None:
    command = f"cat config/presets/{name}.yaml >> config/mine.yaml"
    assert command in (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    page = (ROOT / "docs/reference/networks.md").read_text(encoding="utf-8")
    assert f"(../../config/presets/{name}.yaml)" in page
