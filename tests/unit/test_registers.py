"""A loss or a network is a module and a class of settings; all else follows from these."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from tenter import config, losses, networks, provenance
from tenter.config.alternatives import alternatives, names
from tenter.config.networks import AffineSettings, FieldNetwork, NetworkSettings
from tenter.config.rooms import rooms

ROOT = Path(__file__).parents[2]
TERMS = [(section, name) for section in alternatives(config.Term) for name in names(section)]
NETWORKS = [name for section in alternatives(NetworkSettings) for name in names(section)]
KINDS: dict[str, tuple[Any, type[config.Section]]] = {
    "labels": (config.LabelTerm, config.terms.LabelTermSettings),
    "images": (config.ImageTerm, config.terms.ImageTermSettings),
    "regularisers": (config.Regulariser, config.terms.RegulariserSettings),
    "network": (config.Network, NetworkSettings),
    "cascade's network": (config.networks.DenseNetwork, FieldNetwork),
    "composite's first": (config.networks.AffineNetwork, AffineSettings),
    "composite's second": (config.networks.DensePart, config.networks.DenseSettings),
}


@pytest.mark.parametrize("key", KINDS)
def test_a_union_holds_every_class_of_its_kind(key: str) -> None:
    adapter, base = KINDS[key]
    for section in alternatives(base):
        for name in names(section):
            assert isinstance(TypeAdapter(adapter).validate_python({"name": name}), section)


def test_a_modules_name_is_that_of_a_loss_or_of_its_parts() -> None:
    written = {path.stem for path in (ROOT / "src/tenter/losses").glob("*.py")}
    parts = {"__init__", "custom", "masked", "objective", "presence", "scales", "stencils"}
    assert written - parts == {name for _, name in TERMS}


@pytest.mark.parametrize(("section", "name"), TERMS)
def test_every_key_of_a_loss_reaches_its_function(section: type[config.Term], name: str) -> None:
    function = getattr(losses._module(name), name)  # noqa: SLF001 - the module of a loss
    settings = section.model_validate({"name": name})
    reached = losses.options(settings, function, (1.0, 1.0, 2.0)).keys()
    used = (
        {"name", "weight", "role_weights", "kernel"}
        if "scales_mm" in section.model_fields
        else {"name", "weight", "role_weights"}
    )
    used |= {"scales_mm", "scales_voxel"}
    used |= {f"{key}{unit}" for key in reached for unit in ("", "_mm", "_voxel")}
    used |= {"units"} if "spacing" in reached else set()
    assert set(section.model_fields) <= used


@pytest.mark.parametrize(("section", "name"), TERMS)
def test_a_losss_function_lacks_no_argument(section: type[config.Term], name: str) -> None:
    function = getattr(losses._module(name), name)  # noqa: SLF001
    settings = section.model_validate({"name": name})
    given = {*losses.options(settings, function, (1.0,)), "warped", "fixed", "inside", "field"}
    given |= {"backward"} if section.two_way else set()
    needed = {
        key
        for key, parameter in inspect.signature(function).parameters.items()
        if parameter.default is inspect.Parameter.empty
    }
    assert needed <= given


@pytest.mark.parametrize(("section", "name"), TERMS)
def test_the_code_of_a_loss_counts_for_its_trainings(section: type[config.Term], name: str) -> None:
    for key, (_, base) in KINDS.items():
        if issubclass(section, base):
            settings = f'{{"losses":{{"{key}":[{{"name":"{name}"}}]}}}}'
            assert f"tenter.losses.{name}" in provenance.modules("train", settings)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("stage", ["train", "infer"])
def test_the_code_of_a_network_counts(stage: str, name: str) -> None:
    found = provenance.modules(stage, f'{{"network":{{"name":"{name}"}}}}')
    assert f"tenter.networks.{name}" in found


def test_the_parts_of_a_network_count() -> None:
    assert {"network", "first", "second"} <= rooms().keys()


@pytest.mark.parametrize("name", [name for _, name in TERMS])
def test_a_loss_is_on_its_page(name: str) -> None:
    page = (ROOT / "docs/reference/losses.md").read_text(encoding="utf-8")
    assert re.search(rf"(^\| |^|\. ?\n\n)`{name}`", page, re.MULTILINE)


def test_a_network_names_its_class() -> None:
    assert networks.CLASSES.keys() == set(NETWORKS)
    for name, built in networks.CLASSES.items():
        assert f"class {built}(" in (ROOT / f"src/tenter/networks/{name}.py").read_text()


LOSS = """
def absolute(warped, fixed, inside, *, offset=0.0):
    return (warped - fixed + offset).abs().flatten(1).mean(dim=1)
"""
LOSS_SETTINGS = '''class AbsoluteLoss(ImageTermSettings):
    """Mean absolute difference of intensities."""

    costs: ClassVar = {"absolute": 0.1e-6}

    name: Literal["absolute"] = "absolute"
    """Mean absolute difference."""
    weight: NotNegative = 1.0
    """Factor in the total loss."""
    offset: float = 0.0
    """Number that is added."""


'''
USED = """
import torch
from tenter import config, losses, provenance
images = [{"name": "absolute", "offset": 0.5}]
term = config.Losses.model_validate({"images": images}).images[0]
one, two = torch.zeros(2, 1, 4, 4, 4), torch.ones(2, 1, 4, 4, 4)
print(losses.image_loss(term, (1.0, 1.0, 1.0))(two, one, one > 0).tolist(), term.seconds)
print("tenter.losses.absolute" in provenance.modules("train", '{"images":[{"name":"absolute"}]}'))
"""


def test_a_loss_takes_two_files(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    package = tmp_path / "src/tenter"
    (package / "losses/absolute.py").write_text(LOSS)
    settings = package / "config/losses.py"
    settings.write_text(
        settings.read_text().replace("class SsdLoss(", f"{LOSS_SETTINGS}class SsdLoss(")
    )
    result = subprocess.run(
        [sys.executable, "-c", USED],
        env=os.environ | {"PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "[1.5, 1.5] 1e-07\nTrue\n"
