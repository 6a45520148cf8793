from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor

from tenter import config, losses
from tenter.losses.bending import bending
from tenter.losses.dice import dice
from tenter.losses.folding import folding
from tenter.losses.gradient import gradient
from tenter.losses.inverse_consistency import inverse_consistency
from tenter.losses.jaccard import jaccard
from tenter.spatial import smooth

SPACING = (2.0, 1.0, 4.0)
NAMES = ("dice", "generalised_dice", "jaccard", "cross_entropy", "mean_squared")
LABEL_TERMS: list[config.LabelTerm] = [
    *(
        config.LabelLoss.model_validate({"name": name, "scales_voxel": [0, 1], "kernel": kernel})
        for name in NAMES
        for kernel in ("gaussian", "cauchy")
    ),
    config.CentroidLoss(),
    config.CentroidLoss(norm="squared"),
]
IMAGE_TERMS: list[config.ImageTerm] = [
    config.SsdLoss(),
    config.GnccLoss(),
    config.GnccLoss(signed=True),
    config.LnccLoss(),
    config.LnccLoss(kernel="gaussian", signed=True),
    config.MutualInformationLoss(bins=5),
    config.MutualInformationLoss(bins=5, normalised=False),
    config.MindLoss(),
]
REGULARISERS: list[config.Regulariser] = [
    config.BendingLoss(),
    config.GradientLoss(),
    config.GradientLoss(norm="l1"),
    config.FoldingLoss(margin=0.9),
    config.FoldingLoss(margin=0.9, norm="l2"),
    config.InverseConsistencyLoss(),
]
TERMS = [*LABEL_TERMS, *IMAGE_TERMS, *REGULARISERS]
IDS = [f"{term.name}-{index}" for index, term in enumerate(TERMS)]


def _evaluated(
    term: config.LabelTerm | config.ImageTerm | config.Regulariser, one: Tensor, other: Tensor
) -> Tensor:
    """A term of random tensors, `[1, channels, *space]`; as many channels as axes."""
    spacing = SPACING[: one.ndim - 2]
    if isinstance(term, config.terms.LabelTermSettings):
        weights = torch.arange(one.shape[1]).to(one)
        return losses.label_loss(term, spacing)(one, other, weights[None])
    if isinstance(term, config.InverseConsistencyLoss):
        return losses.regulariser(term, spacing)(one - 0.5, other - 0.5)
    if isinstance(term, config.terms.ImageTermSettings):
        inside = torch.ones_like(one[:, :1], dtype=torch.bool)
        inside[..., 0] = False
        return losses.image_loss(term, spacing)(one, other, inside).sum()
    return losses.regulariser(term, spacing)(3 * one)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_scales_are_millimetres() -> None:
    warped, fixed = torch.rand(2, 1, 1, 8, 9, 7)
    term = losses.label_loss(config.LabelLoss(scales_mm=(4.0,)), SPACING)
    expected = dice(smooth.smooth(warped, (2.0, 4.0, 1.0)), smooth.smooth(fixed, (2.0, 4.0, 1.0)))
    torch.testing.assert_close(term(warped, fixed, torch.ones(1, 1)), expected.mean())


@pytest.mark.parametrize("term", TERMS, ids=IDS)
def test_nothing_waits_for_the_device(
    term: config.LabelTerm | config.ImageTerm | config.Regulariser,
) -> None:
    # A tensor of the meta device has no values: whoever asks for one fails.
    one, other = torch.rand(2, 1, 3, 6, 7, 5, device="meta")
    one.requires_grad_()
    value = _evaluated(term, one, other)
    torch.autograd.backward(value)
    assert value.shape == ()
    assert one.grad is not None


def test_every_loss_is_a_function_of_its_own_name() -> None:
    names = {path.stem for path in Path(losses.__file__).parent.glob("*.py")}
    assert {term.name for term in TERMS} <= names


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kernel", ["gaussian", "cauchy"])
def test_each_measure_prefers_the_label_itself(
    name: Literal["dice", "generalised_dice", "jaccard", "cross_entropy", "mean_squared"],
    kernel: Literal["gaussian", "cauchy"],
) -> None:
    label = torch.zeros(1, 1, 12, 12, 12)
    label[..., 3:8, 4:9, 3:9] = 1
    present = torch.ones(1, 1)
    term = losses.label_loss(config.LabelLoss(name=name, kernel=kernel), (1.0, 1.0, 1.0))
    values = [term(label.roll(shift, dims=2), label, present).item() for shift in (0, 1, 2)]
    assert values == sorted(values)
    assert values[0] < values[1] < values[2]


def test_scales_may_be_voxels() -> None:
    warped, fixed = torch.rand(2, 1, 1, 8, 9, 7)
    term = losses.label_loss(config.LabelLoss(name="jaccard", scales_voxel=(2.0,)), SPACING)
    widths = (2.0, 2.0, 2.0)
    expected = jaccard(smooth.smooth(warped, widths), smooth.smooth(fixed, widths))
    torch.testing.assert_close(term(warped, fixed, torch.ones(1, 1)), expected.mean())


def test_the_centroid_term_leaves_labels_without_mass_out() -> None:
    fixed = torch.zeros(1, 2, 8, 9, 7)
    fixed[:, :, 2, 3, 4] = 1
    warped = torch.cat([fixed[:, :1].roll(1, dims=2), torch.zeros(1, 1, 8, 9, 7)], dim=1)
    term = losses.label_loss(config.CentroidLoss(norm="squared"), SPACING)
    assert term(warped, fixed, torch.ones(1, 2)).item() == pytest.approx(4)


def test_folding_takes_margin_and_norm() -> None:
    field = torch.randn(1, 3, 7, 6, 8)
    term = losses.regulariser(config.FoldingLoss(margin=0.3, norm="l2"), SPACING)
    torch.testing.assert_close(term(field), folding(field, margin=0.3, norm="l2"))


def test_inverse_consistency_reads_spacing_in_millimetres_alone() -> None:
    one, other = torch.randn(2, 1, 3, 7, 6, 8)
    for units, spacing in (("mm", SPACING), ("voxel", (1.0, 1.0, 1.0))):
        term = losses.regulariser(config.InverseConsistencyLoss(units=units), SPACING)
        torch.testing.assert_close(term(one, other), inverse_consistency(one, other, spacing))


@pytest.mark.parametrize("spacing", [1.0, 3.0])
def test_the_default_bending_weighs_the_same_in_mm_and_voxels_at_3_mm(spacing: float) -> None:
    field = torch.randn(1, 3, 7, 6, 8)
    costs = [
        settings.weight * losses.regulariser(settings, (spacing,) * 3)(field).item()
        for settings in (config.BendingLoss(), config.BendingLoss(units="voxel"))
    ]
    assert costs[0] == pytest.approx(costs[1] * (3 / spacing) ** 2)


def test_regularisers_read_spacing_in_millimetres_alone() -> None:
    field = torch.randn(1, 3, 7, 6, 8)
    voxel = losses.regulariser(config.BendingLoss(units="voxel"), SPACING)
    physical = losses.regulariser(config.BendingLoss(), SPACING)
    torch.testing.assert_close(voxel(field), bending(field, (1.0, 1.0, 1.0)))
    torch.testing.assert_close(physical(field), bending(field, SPACING))


def test_the_gradient_term_takes_the_norm() -> None:
    field = torch.randn(1, 3, 7, 6, 8)
    term = losses.regulariser(config.GradientLoss(norm="l1", units="voxel"), SPACING)
    torch.testing.assert_close(term(field), gradient(field, (1.0, 1.0, 1.0), norm="l1"))


def test_terms_are_not_weighted() -> None:
    field = torch.randn(1, 3, 7, 6, 8)
    values = [
        losses.regulariser(config.BendingLoss(weight=weight), SPACING)(field)
        for weight in (0.5, 2.0)
    ]
    torch.testing.assert_close(values[0], values[1])


def test_a_loss_is_imported_when_it_is_asked_for() -> None:
    code = (
        "import sys, tenter.losses; "
        "print([n for n in sys.modules if n.startswith('tenter.losses.')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == (
        "['tenter.losses.presence', 'tenter.losses.scales', 'tenter.losses.custom']"
    )
