"""What `tenter check` says of custom code in a file beside the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from builders import faulty_files
from tenter.errors import InputError
from tenter.records import Fault
from tenter.stages.check import check

CODE = """
import torch
from pydantic import BaseModel

class Settings(BaseModel):
    order: int = 2

def bend(field, spacing_mm, settings: Settings):
    return field.square().mean()

def unlike(warped):
    return warped

def dice(warped, fixed):
    return 1.0

def nothing(warped, fixed):
    return None

def halved(warped, fixed):
    return 1 / warped.sum()

def volume(warped, fixed, spacing_mm, settings: Settings):
    return abs(warped.sum() - fixed.sum())

def largest(displacement_mm, affine):
    return abs(displacement_mm).max()

def still(pair, images, settings: Settings):
    return 0 * images.fixed[[0, 0, 0]]

class Net(torch.nn.Module):
    def __init__(self, channels, dimensions):
        super().__init__()
        self.layer = torch.nn.Conv3d(sum(channels), 3, 3, padding=1)

    def forward(self, moving, fixed):
        return self.layer(torch.cat([moving, fixed], dim=1))

class Flat(Net):
    def forward(self, moving, fixed):
        return super().forward(moving, fixed)[:, :2]
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = faulty_files.cohort(tmp_path / "study")
    path.with_name("mine.py").write_text(CODE)
    return path


def configure(path: Path, network: object = None, **losses: object) -> None:
    content = yaml.safe_load(path.read_text())
    model = content["models"]["base"]
    model |= {"network": network} if network else {}
    model |= {"losses": losses} if losses else {}
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def faults(path: Path) -> tuple[Fault, ...]:
    with pytest.raises(InputError) as caught:
        check(path)
    return caught.value.faults


def test_sound_code_is_accepted_and_its_cost_forecast(config: Path) -> None:
    terms = [{"name": "mine.py:bend", "settings": {"order": 3}}]
    configure(config, {"name": "mine.py:Net"}, regularisers=terms)
    assert "time: about" in str(check(config))


CASES: list[tuple[str, dict[str, object], str, str]] = [
    ("images", {"name": "none.py:f"}, "images.0.name", "does not exist"),
    ("images", {"name": "mine.py:f"}, "images.0.name", "does not define `f`"),
    ("images", {"name": "mine.py:unlike"}, "images.0.name", "cannot be called with (warped, fixed"),
    ("regularisers", {"name": "mine.py:bend", "settings": {"ordr": 3}},
     "regularisers.0.settings.ordr", "unknown key"),
    ("regularisers", {"name": "mine.py:bend", "settings": {"order": "x"}},
     "regularisers.0.settings.order", "is 'x'"),
    ("images", {"name": "mine.py:unlike", "settings": {"a": 1}}, "images.0.settings",
     "takes no settings"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "term", "column", "message"), CASES)
def test_a_fault_names_line_and_key(
    config: Path, key: str, term: dict[str, object], column: str, message: str
) -> None:
    configure(config, **{key: [term]})
    (fault,) = faults(config)
    assert (fault.file, fault.column) == (str(config), f"models.base.losses.{column}")
    assert fault.row is not None
    assert message in fault.message
    assert fault.fix


def test_a_misspelt_key_is_corrected(config: Path) -> None:
    configure(config, regularisers=[{"name": "mine.py:bend", "settings": {"ordr": 3}}])
    (fault,) = faults(config)
    assert fault.fix == "did you mean 'order'?"


def test_all_faults_come_in_one_pass(config: Path) -> None:
    configure(config, {"name": "none.py:Net"}, images=[{"name": "mine.py:f"}])
    faulty_files.missing(config.parent / "p3_us.nii.gz")
    assert len(faults(config)) == 3


def test_a_function_is_not_a_network(config: Path) -> None:
    configure(config, {"name": "mine.py:unlike"})
    (fault,) = faults(config)
    assert "is not a class derived from torch.nn.Module" in fault.message


def test_a_field_of_another_shape_is_refused(config: Path) -> None:
    configure(config, {"name": "mine.py:Flat"})
    (fault,) = faults(config)
    assert fault.column == "models.base.network.name"
    assert "returns (1, 2, 12, 10, 8)" in fault.message


METRICS: list[tuple[dict[str, object], str, str]] = [
    ({"name": "none.py:f"}, "name", "does not exist"),
    ({"name": "mine.py:largest"}, "name", "cannot be called with (warped, fixed"),
    ({"name": "mine.py:volume", "of": "field"}, "name", "cannot be called with (displacement_mm"),
    ({"name": "mine.py:volume", "settings": {"ordr": 1}}, "settings.ordr", "unknown key"),
    ({"name": "mine.py:dice"}, "name", "is the name of a metric of tenter"),
    ({"name": "mine.py:nothing"}, "name", "returned None instead of a finite number, tried"),
    ({"name": "mine.py:halved"}, "name", "finite number for a label that vanished"),
    ({"name": "mine.py:volume", "better": "up"}, "better", "is 'up'"),
]


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@pytest.mark.parametrize(("metric", "key", "message"), METRICS)
def test_a_fault_of_a_metric_names_line_and_key(
    config: Path, metric: dict[str, object], key: str, message: str
) -> None:
    extend(config, evaluation={"metrics": [{"better": "lower"} | metric]})
    (fault,) = faults(config)
    assert (fault.file, fault.column) == (str(config), f"evaluation.metrics.0.{key}")
    assert fault.row is not None
    assert message in fault.message
    assert fault.fix


def test_a_metric_of_the_field_has_no_roles(config: Path) -> None:
    metric = {"name": "mine.py:largest", "better": "lower", "of": "field", "roles": ["landmark"]}
    extend(config, evaluation={"metrics": [metric]})
    (fault,) = faults(config)
    assert "`roles` are of labels" in fault.message


METHODS: list[tuple[dict[str, object], str, str]] = [
    ({"method": "mine.py:none"}, "method", "does not define `none`"),
    ({"method": "mine.py:unlike"}, "method", "cannot be called with (pair, images"),
    ({"method": "mine.py:still", "settings": {"order": "x"}}, "settings.order", "is 'x'"),
]


@pytest.mark.parametrize(("method", "key", "message"), METHODS)
def test_a_fault_of_a_method_names_line_and_key(
    config: Path, method: dict[str, object], key: str, message: str
) -> None:
    extend(config, baselines={"own": method})
    (fault,) = faults(config)
    assert (fault.file, fault.column) == (str(config), f"baselines.own.{key}")
    assert fault.row is not None
    assert message in fault.message


def test_two_metrics_of_one_name_are_refused(config: Path) -> None:
    metric = {"name": "mine.py:volume", "better": "lower"}
    extend(config, evaluation={"metrics": [metric, metric]})
    (fault,) = faults(config)
    assert "'volume' is the name of two metrics" in fault.message


def test_sound_metrics_and_methods_are_accepted(config: Path) -> None:
    label = {"name": "mine.py:volume", "better": "lower", "settings": {"order": 3}}
    field = {"name": "mine.py:largest", "better": "neither", "of": "field"}
    extend(
        config,
        evaluation={"metrics": [label, field]},
        baselines={"own": {"method": "mine.py:still"}, "start": {"method": "identity"}},
    )
    assert "3 image pairs" in str(check(config))


def extend(path: Path, **keys: object) -> None:
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(content | keys, sort_keys=False))
