"""The simple image losses, and what all of them have in common."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from tenter import config, losses
from tenter.losses.gncc import gncc
from tenter.losses.ssd import ssd
from tenter.spatial import warp

TERMS: list[config.ImageTerm] = [
    config.SsdLoss(),
    config.GnccLoss(),
    config.GnccLoss(signed=True),
    config.LnccLoss(window_voxel=5),
    config.LnccLoss(window_voxel=5, kernel="gaussian", signed=True),
    config.MutualInformationLoss(),
    config.MutualInformationLoss(normalised=False),
    config.MindLoss(),
]
NAMES = [f"{term.name}-{index}" for index, term in enumerate(TERMS)]


def _everywhere(image: Tensor) -> Tensor:
    return torch.ones(image.shape[0], 1, *image.shape[2:], dtype=torch.bool)


def _texture(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    noise = np.random.default_rng(seed).normal(size=shape)
    return torch.from_numpy(ndimage.gaussian_filter(noise, 1.5))[None, None].float()


def test_ssd_is_the_mean_square_inside_by_hand() -> None:
    warped, fixed = torch.tensor([[[[1.0, 2.0], [3.0, 9.0]]]]), torch.ones(1, 1, 2, 2)
    inside = torch.tensor([[[[True, True], [True, False]]]])
    assert ssd(warped, fixed, inside).item() == pytest.approx((0 + 1 + 4) / 3)


def test_gncc_is_numpys_correlation() -> None:
    torch.manual_seed(0)
    warped, fixed, inside = *torch.rand(2, 1, 1, 6, 5, 4), torch.rand(1, 1, 6, 5, 4) > 0.3
    warped = warped + 0.5 * fixed
    expected = np.corrcoef(warped[inside].numpy(), fixed[inside].numpy())[0, 1]
    assert gncc(warped, fixed, inside).item() == pytest.approx(1 - expected**2, abs=1e-6)
    assert gncc(warped, fixed, inside, signed=True).item() == pytest.approx(1 - expected, abs=1e-6)


@pytest.mark.parametrize("term", TERMS, ids=NAMES)
@pytest.mark.parametrize("shape", [(20, 18, 16), (40, 36)])
def test_the_image_itself_is_liked_best_then_the_nearest_shift(
    term: config.ImageTerm, shape: tuple[int, ...]
) -> None:
    image = _texture(shape)
    loss = losses.image_loss(term, (1.0,) * len(shape))
    values = [
        loss(image.roll(shift, dims=2), image, _everywhere(image)).item() for shift in (0, 1, 2)
    ]
    assert values[0] < values[1] < values[2]


@pytest.mark.parametrize("term", TERMS, ids=NAMES)
def test_constant_images_give_finite_values_and_gradients(term: config.ImageTerm) -> None:
    loss = losses.image_loss(term, (1.0, 1.0, 1.0))
    for level in (0.0, 1e3 / 7):
        flat = torch.full((1, 1, 9, 8, 10), level)
        for fixed in (flat, _texture((9, 8, 10))):
            warped = flat.clone().requires_grad_()
            value = loss(warped, fixed, _everywhere(fixed))
            torch.autograd.backward(value.sum())
            assert torch.isfinite(value).all()
            assert warped.grad is not None
            assert torch.isfinite(warped.grad).all()


@pytest.mark.parametrize("term", TERMS, ids=NAMES)
def test_an_image_that_is_half_constant_gives_finite_gradients(term: config.ImageTerm) -> None:
    fixed = _texture((9, 8, 10))
    warped = fixed.clone()
    warped[:, :, :5] = 0.3
    warped.requires_grad_()
    value = losses.image_loss(term, (1.0, 1.0, 1.0))(warped, fixed, _everywhere(fixed))
    torch.autograd.backward(value.sum())
    assert warped.grad is not None
    assert torch.isfinite(warped.grad).all()


@pytest.mark.parametrize("term", TERMS, ids=NAMES)
def test_without_overlap_the_loss_is_finite_and_has_no_gradient(term: config.ImageTerm) -> None:
    warped, fixed = _texture((9, 8, 10)).requires_grad_(), _texture((9, 8, 10), 1)
    value = losses.image_loss(term, (1.0, 1.0, 1.0))(warped, fixed, ~_everywhere(fixed))
    torch.autograd.backward(value.sum())
    assert torch.isfinite(value).all()
    assert warped.grad is not None
    assert not warped.grad.any()


@pytest.mark.parametrize("term", TERMS, ids=NAMES)
def test_pairs_of_a_batch_do_not_see_one_another(term: config.ImageTerm) -> None:
    warped, fixed = (
        torch.cat([_texture((9, 8, 10), s), 5 * _texture((9, 8, 10), s + 9)]) for s in (0, 1)
    )
    inside = torch.rand(2, 1, 9, 8, 10, generator=torch.Generator().manual_seed(0)) > 0.2
    loss = losses.image_loss(term, (1.0, 1.0, 1.0))
    alone = [loss(warped[i : i + 1], fixed[i : i + 1], inside[i : i + 1]) for i in (0, 1)]
    torch.testing.assert_close(loss(warped, fixed, inside), torch.cat(alone))


@pytest.mark.parametrize("term", TERMS, ids=NAMES)
def test_channels_are_averaged(term: config.ImageTerm) -> None:
    warped, fixed = (
        torch.cat([_texture((9, 8, 10), s), _texture((9, 8, 10), s + 9)], dim=1) for s in (0, 1)
    )
    loss = losses.image_loss(term, (1.0, 1.0, 1.0))
    inside = _everywhere(fixed)
    alone = [loss(warped[:, i : i + 1], fixed[:, i : i + 1], inside) for i in (0, 1)]
    torch.testing.assert_close(loss(warped, fixed, inside), (alone[0] + alone[1]) / 2)


@pytest.mark.parametrize("term", TERMS, ids=NAMES)
def test_single_precision_agrees_with_double_on_bright_images(term: config.ImageTerm) -> None:
    warped, fixed = 200 + _texture((9, 8, 10)), 300 + 2 * _texture((9, 8, 10), 1)
    loss = losses.image_loss(term, (1.0, 1.0, 1.0))
    inside = _everywhere(fixed)
    reference = loss(warped.double(), fixed.double(), inside)
    torch.testing.assert_close(
        loss(warped, fixed, inside).double(), reference, rtol=2e-3, atol=1e-5
    )


@pytest.mark.parametrize(
    ("term", "gain"),
    [
        (config.SsdLoss(), 1),
        (config.GnccLoss(), -2),
        (config.LnccLoss(window_voxel=9), -2),
        (config.MutualInformationLoss(), -2),
        (config.MindLoss(), -2),
    ],
    ids=["ssd", "gncc", "lncc", "mutual_information", "mind"],
)
def test_descending_finds_a_shift_through_the_contrasts_that_a_loss_is_for(
    term: config.ImageTerm, gain: float
) -> None:
    moving = 5 * _texture((40, 36))
    fixed = gain * moving.roll((2, -1), (2, 3)) + 1
    shift = torch.zeros(1, 2, 1, 1, requires_grad=True)
    optimiser = torch.optim.Adam([shift], lr=0.15)
    loss = losses.image_loss(term, (1.0, 1.0))
    for _ in range(50):
        optimiser.zero_grad()
        field = shift.expand(1, 2, 40, 36)
        torch.autograd.backward(loss(warp.warp(moving, field), fixed, warp.inside(field)).sum())
        optimiser.step()
    assert shift.detach().flatten().tolist() == pytest.approx([-2, 1], abs=0.15)
