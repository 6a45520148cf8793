"""Laws of the losses."""

from __future__ import annotations

from typing import Literal

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from strategies import seeds, spacings
from tenter import config, losses
from tenter.losses.bending import bending
from tenter.losses.centroid import centroid
from tenter.losses.gradient import gradient
from tenter.spatial import grids

SHAPES = st.tuples(*[st.integers(5, 8)] * 3)
SPACINGS = spacings(0.25, 4)
LABEL_LOSSES = st.builds(
    config.LabelLoss,
    name=st.sampled_from(["dice", "generalised_dice", "jaccard", "cross_entropy", "mean_squared"]),
    scales_mm=st.lists(st.floats(0, 10), min_size=1, max_size=3).map(tuple),
    kernel=st.sampled_from(["gaussian", "cauchy"]),
)
WINDOWS = st.builds(
    config.LnccLoss,
    window_mm=st.floats(1, 12),
    kernel=st.sampled_from(["box", "gaussian"]),
    signed=st.booleans(),
)
MINDS = st.builds(config.MindLoss, radius_voxel=st.integers(0, 2), distance_voxel=st.integers(1, 3))
HISTOGRAMS = st.builds(
    config.MutualInformationLoss, bins=st.integers(2, 24), normalised=st.booleans()
)
CONTRAST_FREE = st.one_of(
    st.builds(config.GnccLoss, signed=st.booleans()), WINDOWS, MINDS, HISTOGRAMS
)
IMAGE_LOSSES = st.one_of(st.builds(config.SsdLoss), CONTRAST_FREE)
FEW = settings(max_examples=25, deadline=None)


def _random(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@FEW
@given(seed=seeds, loss=LABEL_LOSSES, spacing=SPACINGS, order=st.permutations(range(3)))
def test_the_order_of_labels_does_not_matter(
    seed: int, loss: config.LabelLoss, spacing: tuple[float, float, float], order: list[int]
) -> None:
    warped, fixed = _random(seed, 2, 2, 3, 6, 5, 7)
    present = (_random(seed + 1, 2, 3) > 0.3).double()
    term = losses.label_loss(loss, spacing)
    shuffled = term(warped[:, order], fixed[:, order], present[:, order])
    torch.testing.assert_close(shuffled, term(warped, fixed, present))


@FEW
@given(seed=seeds, loss=LABEL_LOSSES, spacing=SPACINGS)
def test_what_an_absent_label_holds_does_not_matter(
    seed: int, loss: config.LabelLoss, spacing: tuple[float, float, float]
) -> None:
    warped, fixed, other = _random(seed, 3, 2, 2, 6, 5, 7)
    present = torch.tensor([[1, 0], [1, 1]], dtype=torch.float64)
    changed = warped.clone()
    changed[0, 1] = other[0, 1]
    term = losses.label_loss(loss, spacing)
    assert term(changed, fixed, present) == term(warped, fixed, present)


@FEW
@given(
    seed=seeds,
    loss=LABEL_LOSSES.filter(lambda loss: loss.name in {"dice", "generalised_dice", "jaccard"}),
)
def test_overlap_losses_lie_between_0_and_1(seed: int, loss: config.LabelLoss) -> None:
    warped, fixed = _random(seed, 2, 1, 2, 6, 5, 7)
    value = losses.label_loss(loss, (1.0, 1.0, 1.0))(
        warped, fixed, torch.ones(1, 2, dtype=torch.float64)
    )
    assert 0 <= value.item() <= 1


@FEW
@given(seed=seeds, shape=SHAPES, spacing=SPACINGS)
def test_translations_cost_nothing_more(
    seed: int, shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    field, shift = _random(seed, 1, 3, *shape), 10 * _random(seed + 1, 1, 3, 1, 1, 1)
    for energy in (bending, gradient):
        torch.testing.assert_close(energy(field + shift, spacing), energy(field, spacing))


@FEW
@given(seed=seeds, shape=SHAPES, spacing=SPACINGS)
def test_bending_does_not_see_an_affine_part(
    seed: int, shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    field, matrix = _random(seed, 1, 3, *shape), _random(seed + 1, 1, 3, 4)
    torch.testing.assert_close(
        bending(field + grids.mapped(matrix, shape), spacing), bending(field, spacing)
    )


@FEW
@given(seed=seeds, shape=SHAPES, factor=st.floats(-3, 3))
def test_energies_are_homogeneous(seed: int, shape: tuple[int, int, int], factor: float) -> None:
    field, voxels = _random(seed, 2, 3, *shape), (1.0, 1.0, 1.0)
    torch.testing.assert_close(bending(factor * field, voxels), factor**2 * bending(field, voxels))
    torch.testing.assert_close(
        gradient(factor * field, voxels), factor**2 * gradient(field, voxels)
    )
    torch.testing.assert_close(
        gradient(factor * field, voxels, "l1"), abs(factor) * gradient(field, voxels, "l1")
    )


@FEW
@given(seed=seeds, shape=SHAPES, spacing=st.floats(0.25, 4))
def test_on_isotropic_grids_millimetres_are_a_factor(
    seed: int, shape: tuple[int, int, int], spacing: float
) -> None:
    field, voxels, millimetres = _random(seed, 1, 3, *shape), (1.0,) * 3, (spacing,) * 3
    torch.testing.assert_close(bending(field, millimetres), bending(field, voxels) / spacing**2)
    torch.testing.assert_close(gradient(field, millimetres), gradient(field, voxels))


@FEW
@given(
    seed=seeds,
    spacing=SPACINGS,
    shift=st.integers(-2, 2),
    norm=st.sampled_from(["squared", "smooth_l1"]),
)
def test_moving_both_labels_keeps_their_distance(
    seed: int,
    spacing: tuple[float, float, float],
    shift: int,
    norm: Literal["squared", "smooth_l1"],
) -> None:
    labels = torch.zeros(2, 1, 2, 9, 8, 7, dtype=torch.float64)
    labels[:, :, :, 2:7, 2:6, 2:5] = _random(seed, 2, 1, 2, 5, 4, 3) + 0.01
    moved = labels.roll(shift, dims=4)
    expected = centroid(labels[0], labels[1], spacing, norm).values
    torch.testing.assert_close(centroid(moved[0], moved[1], spacing, norm).values, expected)


@FEW
@given(seed=seeds, loss=CONTRAST_FREE, gain=st.floats(0.01, 100), offset=st.floats(-100, 100))
def test_brightness_and_contrast_do_not_matter(
    seed: int, loss: config.ImageTerm, gain: float, offset: float
) -> None:
    warped, fixed = _random(seed, 2, 1, 1, 7, 6, 8)
    inside = _random(seed + 1, 1, 1, 7, 6, 8) > 0.2
    term = losses.image_loss(loss, (1.0, 1.0, 1.0))
    expected = term(warped, fixed, inside)
    torch.testing.assert_close(
        term(gain * warped + offset, fixed, inside), expected, rtol=1e-6, atol=1e-6
    )
    torch.testing.assert_close(
        term(warped, gain * fixed + offset, inside), expected, rtol=1e-6, atol=1e-6
    )


@FEW
@given(seed=seeds, loss=IMAGE_LOSSES)
def test_neither_image_is_preferred(seed: int, loss: config.ImageTerm) -> None:
    warped, fixed = _random(seed, 2, 2, 1, 7, 6, 8)
    inside = _random(seed + 1, 2, 1, 7, 6, 8) > 0.2
    term = losses.image_loss(loss, (1.0, 2.0, 1.0))
    torch.testing.assert_close(term(fixed, warped, inside), term(warped, fixed, inside))


@FEW
@given(
    seed=seeds,
    loss=IMAGE_LOSSES,
    spacing=SPACINGS,
    order=st.permutations(range(3)),
    flipped=st.integers(0, 2),
)
def test_images_may_be_stored_in_any_order(
    seed: int,
    loss: config.ImageTerm,
    spacing: tuple[float, float, float],
    order: list[int],
    flipped: int,
) -> None:
    warped, fixed = _random(seed, 2, 1, 1, 7, 6, 8)
    inside = _random(seed + 1, 1, 1, 7, 6, 8) > 0.2
    sizes = [spacing[axis] for axis in order]
    turned = [
        tensor.permute(0, 1, *[axis + 2 for axis in order]).flip(flipped + 2)
        for tensor in (warped, fixed, inside)
    ]
    expected = losses.image_loss(loss, spacing)(warped, fixed, inside)
    torch.testing.assert_close(losses.image_loss(loss, sizes)(*turned), expected)


@FEW
@given(seed=seeds, loss=st.one_of(st.builds(config.SsdLoss), st.builds(config.GnccLoss), WINDOWS))
def test_what_lies_outside_does_not_matter(seed: int, loss: config.ImageTerm) -> None:
    warped, fixed, other = _random(seed, 3, 1, 1, 7, 6, 8)
    inside = _random(seed + 1, 1, 1, 7, 6, 8) > 0.4
    term = losses.image_loss(loss, (1.0, 1.0, 1.0))
    torch.testing.assert_close(
        term(torch.where(inside, warped, other), fixed, inside), term(warped, fixed, inside)
    )
