from __future__ import annotations

import subprocess
import sys
from typing import Literal

import pytest
import torch

from tenter import config, losses
from tenter.losses.bending import bending
from tenter.losses.dice import dice
from tenter.losses.gradient import gradient
from tenter.spatial import smooth

SPACING = (2.0, 1.0, 4.0)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_scales_are_millimetres() -> None:
    warped, fixed = torch.rand(2, 1, 1, 8, 9, 7)
    term = losses.label_loss(config.LabelLoss(scales_mm=(4.0,)), SPACING)
    expected = dice(smooth.smooth(warped, (2.0, 4.0, 1.0)), smooth.smooth(fixed, (2.0, 4.0, 1.0)))
    torch.testing.assert_close(term(warped, fixed, torch.ones(1, 1, dtype=torch.bool)), expected.mean())


@pytest.mark.parametrize("name", ["dice", "jaccard", "cross_entropy", "mean_squared"])
@pytest.mark.parametrize("kernel", ["gaussian", "cauchy"])
def test_each_measure_prefers_the_label_itself(
    name: Literal["dice", "jaccard", "cross_entropy", "mean_squared"], kernel: smooth.Kind
) -> None:
    label = torch.zeros(1, 1, 12, 12, 12)
    label[..., 3:8, 4:9, 3:9] = 1
    present = torch.ones(1, 1, dtype=torch.bool)
    term = losses.label_loss(config.LabelLoss(name=name, kernel=kernel), (1.0, 1.0, 1.0))
    values = [term(label.roll(shift, dims=2), label, present).item() for shift in (0, 1, 2)]
    assert values == sorted(values)
    assert values[0] < values[1] < values[2]


def test_regularisers_read_spacing_in_millimetres_alone() -> None:
    field = torch.randn(1, 3, 7, 6, 8)
    voxel = losses.regulariser(config.Regulariser(), SPACING)
    physical = losses.regulariser(config.Regulariser(units="mm"), SPACING)
    torch.testing.assert_close(voxel(field), bending(field, (1.0, 1.0, 1.0)))
    torch.testing.assert_close(physical(field), bending(field, SPACING))


def test_the_gradient_term_takes_the_norm() -> None:
    field = torch.randn(1, 3, 7, 6, 8)
    term = losses.regulariser(config.Regulariser(name="gradient", norm="l1"), SPACING)
    torch.testing.assert_close(term(field), gradient(field, (1.0, 1.0, 1.0), norm="l1"))


def test_terms_are_not_weighted() -> None:
    field = torch.randn(1, 3, 7, 6, 8)
    values = [losses.regulariser(config.Regulariser(weight=weight), SPACING)(field) for weight in (0.5, 2.0)]
    torch.testing.assert_close(values[0], values[1])


def test_a_loss_is_imported_when_it_is_asked_for() -> None:
    code = "import sys, tenter.losses; print([n for n in sys.modules if n.startswith('tenter.losses.')])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['tenter.losses.scales']"
