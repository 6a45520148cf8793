"""Laws of the losses."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tenter import config, losses
from tenter.losses.bending import bending
from tenter.losses.gradient import gradient
from tenter.spatial import grids

SEEDS = st.integers(0, 2**31 - 1)
SHAPES = st.tuples(*[st.integers(5, 8)] * 3)
SPACINGS = st.tuples(*[st.floats(0.25, 4)] * 3)
LABEL_LOSSES = st.builds(
    config.LabelLoss,
    name=st.sampled_from(["dice", "jaccard", "cross_entropy", "mean_squared"]),
    scales_mm=st.lists(st.floats(0, 10), min_size=1, max_size=3).map(tuple),
    kernel=st.sampled_from(["gaussian", "cauchy"]),
)
FEW = settings(max_examples=25, deadline=None)


def _random(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@FEW
@given(seed=SEEDS, loss=LABEL_LOSSES, spacing=SPACINGS, order=st.permutations(range(3)))
def test_the_order_of_labels_does_not_matter(
    seed: int, loss: config.LabelLoss, spacing: tuple[float, float, float], order: list[int]
) -> None:
    warped, fixed = _random(seed, 2, 2, 3, 6, 5, 7)
    present = _random(seed + 1, 2, 3) > 0.3
    term = losses.label_loss(loss, spacing)
    shuffled = term(warped[:, order], fixed[:, order], present[:, order])
    torch.testing.assert_close(shuffled, term(warped, fixed, present))


@FEW
@given(seed=SEEDS, loss=LABEL_LOSSES, spacing=SPACINGS)
def test_what_an_absent_label_holds_does_not_matter(
    seed: int, loss: config.LabelLoss, spacing: tuple[float, float, float]
) -> None:
    warped, fixed, other = _random(seed, 3, 2, 2, 6, 5, 7)
    present = torch.tensor([[True, False], [True, True]])
    changed = warped.clone()
    changed[0, 1] = other[0, 1]
    term = losses.label_loss(loss, spacing)
    assert term(changed, fixed, present) == term(warped, fixed, present)


@FEW
@given(seed=SEEDS, loss=LABEL_LOSSES.filter(lambda loss: loss.name in {"dice", "jaccard"}))
def test_overlap_losses_lie_between_0_and_1(seed: int, loss: config.LabelLoss) -> None:
    warped, fixed = _random(seed, 2, 1, 2, 6, 5, 7)
    value = losses.label_loss(loss, (1.0, 1.0, 1.0))(warped, fixed, torch.ones(1, 2, dtype=torch.bool))
    assert 0 <= value.item() <= 1


@FEW
@given(seed=SEEDS, shape=SHAPES, spacing=SPACINGS)
def test_translations_cost_nothing_more(
    seed: int, shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    field, shift = _random(seed, 1, 3, *shape), 10 * _random(seed + 1, 1, 3, 1, 1, 1)
    for energy in (bending, gradient):
        torch.testing.assert_close(energy(field + shift, spacing), energy(field, spacing))


@FEW
@given(seed=SEEDS, shape=SHAPES, spacing=SPACINGS)
def test_bending_does_not_see_an_affine_part(
    seed: int, shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    field, matrix = _random(seed, 1, 3, *shape), _random(seed + 1, 1, 3, 4)
    torch.testing.assert_close(bending(field + grids.mapped(matrix, shape), spacing), bending(field, spacing))


@FEW
@given(seed=SEEDS, shape=SHAPES, factor=st.floats(-3, 3))
def test_energies_are_homogeneous(seed: int, shape: tuple[int, int, int], factor: float) -> None:
    field, voxels = _random(seed, 2, 3, *shape), (1.0, 1.0, 1.0)
    torch.testing.assert_close(bending(factor * field, voxels), factor**2 * bending(field, voxels))
    torch.testing.assert_close(gradient(factor * field, voxels), factor**2 * gradient(field, voxels))
    torch.testing.assert_close(
        gradient(factor * field, voxels, "l1"), abs(factor) * gradient(field, voxels, "l1")
    )


@FEW
@given(seed=SEEDS, shape=SHAPES, spacing=st.floats(0.25, 4))
def test_on_isotropic_grids_millimetres_are_a_factor(
    seed: int, shape: tuple[int, int, int], spacing: float
) -> None:
    field, voxels, millimetres = _random(seed, 1, 3, *shape), (1.0,) * 3, (spacing,) * 3
    torch.testing.assert_close(bending(field, millimetres), bending(field, voxels) / spacing**2)
    torch.testing.assert_close(gradient(field, millimetres), gradient(field, voxels))


@FEW
@given(seed=SEEDS, shape=SHAPES, spacing=SPACINGS, order=st.permutations(range(3)))
def test_the_order_of_axes_does_not_matter(
    seed: int, shape: tuple[int, int, int], spacing: tuple[float, float, float], order: list[int]
) -> None:
    field = _random(seed, 1, 3, *shape)
    turned = field[:, order].permute(0, 1, *[axis + 2 for axis in order])
    sizes = [spacing[axis] for axis in order]
    for energy in (bending, gradient):
        torch.testing.assert_close(energy(turned, sizes), energy(field, spacing))
