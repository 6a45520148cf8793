"""O7-O9 and O22: what deformations cost, and the slopes of everything that training minimises."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tenter import config, losses
from tenter.config.alternatives import alternatives, names
from tenter.losses.bending import bending
from tenter.losses.gradient import gradient
from tenter.spatial import grids

VOXELS = (1.0, 1.0, 1.0)
SPACING = (0.8, 1.1, 2.5)
SHAPE = (7, 8, 6)
SPACES = ((5, 6, 5), (6, 7))
LABEL_TERMS: list[dict[str, Any]] = [
    {"name": name, "scales_mm": scales, "kernel": kernel}
    for name in ("dice", "generalised_dice", "jaccard", "cross_entropy", "mean_squared")
    for scales, kernel in (((0.0,), "gaussian"), ((0.0, 2.0), "gaussian"), ((0.0, 2.0), "cauchy"))
]
LABEL_TERMS += [{"name": "centroid", "norm": norm} for norm in ("smooth_l1", "squared")]
IMAGE_TERMS: list[dict[str, Any]] = [
    {"name": name} for name in ("ssd", "gncc", "lncc", "mutual_information", "mind")
]
IMAGE_TERMS += [{"name": name, "signed": True} for name in ("gncc", "lncc")]
IMAGE_TERMS += [
    {"name": "lncc", "kernel": "gaussian"},
    {"name": "mutual_information", "normalised": False},
]
FIELD_TERMS: list[dict[str, Any]] = [
    {"name": name, "units": units}
    for name in ("bending", "gradient", "inverse_consistency")
    for units in ("voxel", "mm")
]
FIELD_TERMS += [{"name": "gradient", "units": "mm", "norm": "l1"}]
FIELD_TERMS += [{"name": "folding", "margin": 0.9, "norm": norm} for norm in ("l1", "l2")]


def losses_of(**terms: list[dict[str, Any]]) -> config.Losses:
    return config.Losses.model_validate({"regularisers": [], **terms})


def words(term: dict[str, Any]) -> str:
    return "-".join(str(value) for value in term.values())


def axes() -> tuple[Tensor, Tensor, Tensor]:
    x, y, z = grids.identity(SHAPE, dtype=torch.float64, device=torch.device("cpu"))[0]
    return x, y, z


def displacement(*components: Tensor) -> Tensor:
    zero = torch.zeros(SHAPE, dtype=torch.float64)
    return torch.stack([*components, zero, zero, zero][:3])[None]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("spacing", [VOXELS, SPACING], ids=["voxels", "mm"])
def test_o07_affine_fields_do_not_bend(spacing: tuple[float, float, float]) -> None:
    x, y, z = axes()
    field = displacement(0.1 * x - 0.2 * y + 3, 0.3 * z + 0.1 * x, -0.2 * y + 1)
    assert bending(field, spacing).item() < 1e-24
    assert bending(field.float(), spacing).item() < 1e-10


@pytest.mark.parametrize("spacing", [1.0, 0.5, 2.5])
def test_o08_a_parabola_of_curvature_1_costs_1_over_the_voxels_area(spacing: float) -> None:
    x, _, _ = axes()
    energy = bending(displacement(x**2 / 2), (spacing, 1.1, 3.0))
    # A third, for one of three components bends.
    assert energy.item() == pytest.approx(1 / spacing**2 / 3, rel=1e-12)


def test_o08_a_saddle_counts_the_mixed_derivative_twice() -> None:
    x, y, _ = axes()
    assert bending(displacement(0.3 * x * y), VOXELS).item() == pytest.approx(
        2 * 0.3**2 / 3, rel=1e-12
    )


def test_o09_a_translation_has_no_gradient() -> None:
    field = (
        torch.tensor([7.5, -2.0, 0.3], dtype=torch.float64)
        .reshape(1, 3, 1, 1, 1)
        .expand(1, 3, *SHAPE)
    )
    assert gradient(field, SPACING).item() == 0


@pytest.mark.parametrize("spacing", [VOXELS, SPACING], ids=["voxels", "mm"])
@pytest.mark.parametrize("slope", [0.6, -0.6])
def test_o09_a_stretch_costs_its_squared_slope(
    spacing: tuple[float, float, float], slope: float
) -> None:
    x, _, _ = axes()
    assert gradient(displacement(slope * x), spacing).item() == pytest.approx(
        slope**2 / 3, rel=1e-12
    )
    l1 = gradient(displacement(slope * x), spacing, norm="l1")
    assert l1.item() == pytest.approx(abs(slope) / 3, rel=1e-12)


def label_term(term: dict[str, Any], dimensions: int = 3) -> losses.LabelTerm:
    return losses.label_loss(losses_of(labels=[term]).labels[0], SPACING[:dimensions])


def image_term(term: dict[str, Any], dimensions: int = 3) -> losses.ImageTerm:
    return losses.image_loss(losses_of(images=[term]).images[0], SPACING[:dimensions])


def field_term(term: dict[str, Any], dimensions: int = 3) -> losses.FieldTerm:
    return losses.regulariser(losses_of(regularisers=[term]).regularisers[0], SPACING[:dimensions])


def test_o22_no_loss_is_forgotten() -> None:
    known = {term["name"] for term in (*LABEL_TERMS, *IMAGE_TERMS, *FIELD_TERMS)}
    offered = set()
    for section in alternatives(config.Term):
        offered |= set(names(section))
    assert known == offered


@pytest.mark.parametrize("space", SPACES, ids=len)
@pytest.mark.parametrize("term", LABEL_TERMS, ids=words)
def test_o22_slopes_of_label_losses_are_right(term: dict[str, Any], space: tuple[int, ...]) -> None:
    loss = label_term(term, len(space))
    warped = (0.05 + 0.9 * random(2, 2, *space)).requires_grad_()
    fixed = random(2, 2, *space, seed=1)
    weights = torch.tensor([[1.0, 0.0], [1.0, 0.5]], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda label: loss(label, fixed, weights), warped, eps=1e-6, atol=1e-5, fast_mode=True
    )


@pytest.mark.parametrize("space", SPACES, ids=len)
@pytest.mark.parametrize("term", IMAGE_TERMS, ids=words)
def test_o22_slopes_of_image_losses_are_right(term: dict[str, Any], space: tuple[int, ...]) -> None:
    loss = image_term(term, len(space))
    warped, fixed = random(2, 2, *space).requires_grad_(), random(2, 2, *space, seed=1)
    inside = random(2, 1, *space, seed=2) > 0.2
    assert torch.autograd.gradcheck(
        lambda image: loss(image, fixed, inside), warped, eps=1e-6, atol=1e-5, fast_mode=True
    )


@pytest.mark.parametrize("space", SPACES, ids=len)
@pytest.mark.parametrize("term", FIELD_TERMS, ids=words)
def test_o22_slopes_of_regularisers_are_right(term: dict[str, Any], space: tuple[int, ...]) -> None:
    count = 2 if term["name"] == "inverse_consistency" else 1
    fields = [
        (random(1, len(space), *space, seed=seed) - 0.5).requires_grad_() for seed in range(count)
    ]
    loss = field_term(term, len(space))
    assert torch.autograd.gradcheck(loss, fields, eps=1e-6, atol=1e-5, fast_mode=True)


@pytest.mark.parametrize(
    "term", [term for term in LABEL_TERMS if term.get("scales_mm") != (0.0, 2.0)], ids=words
)
def test_o22_no_label_is_liked_better_than_the_fixed_one(term: dict[str, Any]) -> None:
    """Unsmoothed: of blurred labels, Dice likes sharper ones better."""
    loss, weights = label_term(term), torch.ones(1, 2, dtype=torch.float64)
    fixed = (random(1, 2, 6, 5, 4) > 0.5).double()
    best = loss(fixed, fixed, weights)
    assert best.item() == pytest.approx(0, abs=1e-5)
    for seed in range(1, 6):
        other = random(1, 2, 6, 5, 4, seed=seed)
        for share in (0.01, 0.3, 1.0):
            assert loss((1 - share) * fixed + share * other, fixed, weights) > best


@pytest.mark.parametrize("term", IMAGE_TERMS, ids=words)
def test_o22_no_image_is_liked_better_than_the_fixed_one(term: dict[str, Any]) -> None:
    loss, fixed = image_term(term), random(1, 1, 8, 7, 9)
    inside = torch.ones(1, 1, 8, 7, 9, dtype=torch.bool)
    best = loss(fixed, fixed, inside)
    for seed in range(1, 6):
        assert loss(0.5 * fixed + 0.5 * random(1, 1, 8, 7, 9, seed=seed), fixed, inside) > best


@pytest.mark.parametrize("term", FIELD_TERMS, ids=words)
def test_o22_nothing_costs_less_than_no_displacement(term: dict[str, Any]) -> None:
    energy = field_term(term)
    still = torch.zeros(1, 3, *SHAPE, dtype=torch.float64)
    count = 2 if term["name"] == "inverse_consistency" else 1
    assert energy(*[still] * count) == 0
    for seed in range(5):
        assert energy(*[2 * random(1, 3, *SHAPE, seed=seed) - 1] * count) > 0
