from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.losses.dice import DiceLoss
from monai.losses.multi_scale import MultiScaleLoss
from scipy import ndimage
from torch import Tensor

from tenter.losses.dice import dice, of_sums
from tenter.losses.scales import MultiScale, MultiScaleSums
from tenter.spatial import smooth

NONE = (0.0, 0.0, 0.0)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def _labels(batch: int = 2, labels: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    warped, fixed = torch.rand(2, batch, labels, 8, 9, 7)
    return warped, fixed, torch.ones(batch, labels)


def _gaussian(volume: Tensor, sigma: tuple[float, float, float]) -> Tensor:
    """label-reg's kernel, by SciPy: cut at int(3 sigma), normalised, zeros beyond the border."""
    array = volume.numpy()
    for axis, width in enumerate(sigma, start=2):
        tail = int(3 * width)
        weights = np.exp(-0.5 * (np.arange(-tail, tail + 1) / width) ** 2)
        array = ndimage.convolve1d(array, weights / weights.sum(), axis=axis, mode="constant")
    return torch.from_numpy(array)


def test_both_labels_are_smoothed_and_scales_averaged() -> None:
    warped, fixed, present = _labels()
    wide = (2.0, 1.0, 4.0)
    loss = MultiScale(dice, (NONE, wide), "gaussian")(warped, fixed, present)
    smoothed = dice(_gaussian(warped, wide), _gaussian(fixed, wide))
    torch.testing.assert_close(loss, (dice(warped, fixed) + smoothed).mean() / 2)


def test_scales_beyond_the_grid_are_allowed() -> None:
    warped, fixed, present = _labels()
    wide = (32.0, 32.0, 32.0)
    loss = MultiScale(dice, (wide,), "gaussian")(warped, fixed, present)
    torch.testing.assert_close(loss, dice(_gaussian(warped, wide), _gaussian(fixed, wide)).mean())


def test_it_is_close_to_monais_whose_kernel_loses_a_thousandth() -> None:
    warped, fixed, present = _labels(labels=1)
    reference = MultiScaleLoss(DiceLoss(smooth_nr=0.0, smooth_dr=1e-6), scales=[0, 1, 2])(
        warped, fixed
    )
    sigmas = tuple((scale, scale, scale) for scale in (0.0, 1.0, 2.0))
    loss = MultiScale(dice, sigmas, "gaussian")(warped, fixed, present)
    torch.testing.assert_close(loss, reference, rtol=0, atol=2e-3)


def test_labels_that_are_not_present_count_for_nothing() -> None:
    warped, fixed, present = _labels()
    present[0, 1] = 0
    present[1] = 0
    warped.requires_grad_()
    loss = MultiScale(dice, (NONE,), "gaussian")(warped, fixed, present)
    torch.autograd.backward(loss)
    torch.testing.assert_close(loss, dice(warped, fixed)[0, [0, 2]].mean())
    assert warped.grad is not None
    assert warped.grad.flatten(2).any(dim=2).tolist() == [
        [True, False, True],
        [False, False, False],
    ]


def test_a_label_that_is_empty_on_both_sides_counts_for_nothing() -> None:
    warped, fixed, present = _labels(labels=2)
    warped[1, 0] = fixed[1, 0] = 0
    loss = MultiScale(dice, (NONE,), "gaussian")(warped, fixed, present)
    expected = dice(warped, fixed)
    torch.testing.assert_close(loss, (expected[0].sum() + expected[1, 1]) / 3)


def test_a_label_that_is_empty_on_one_side_counts() -> None:
    warped, fixed, present = _labels(batch=1, labels=1)
    loss = MultiScale(dice, (NONE,), "gaussian")(warped, torch.zeros_like(fixed), present)
    assert loss.item() == 1.0


def test_without_any_label_the_loss_is_zero_and_so_is_its_gradient() -> None:
    warped, fixed, present = _labels()
    warped.requires_grad_()
    loss = MultiScale(dice, (NONE,), "gaussian")(warped, fixed, torch.zeros_like(present))
    torch.autograd.backward(loss)
    assert loss.item() == 0
    assert warped.grad is not None
    assert not warped.grad.any()


def test_small_apart_labels_have_a_gradient_at_large_scales_alone() -> None:
    warped, fixed = torch.zeros(2, 1, 1, 12, 4, 4)
    warped[..., 1, 2, 2] = 1
    fixed[..., 10, 2, 2] = 1
    present = torch.ones(1, 1)
    place = torch.zeros_like(warped)
    place[..., 2, 2, 2] = 1
    slopes = []
    for sigma in (0.0, 4.0):
        label = warped.clone().requires_grad_()
        torch.autograd.backward(
            MultiScale(dice, ((sigma,) * 3,), "gaussian")(label, fixed, present)
        )
        assert label.grad is not None
        slopes.append(((label.grad * place).sum() - label.grad[..., 1, 2, 2]).item())
    assert slopes[0] == 0
    assert slopes[1] < 0


@pytest.mark.parametrize("kernel", ["gaussian", "cauchy"])
@pytest.mark.parametrize("space", [(8, 9, 7), (10, 6)])
def test_smoothing_the_fixed_label_alone_gives_the_same_value_and_gradient(
    kernel: smooth.Kind, space: tuple[int, ...]
) -> None:
    fixed, weights = torch.rand(2, 3, *space, dtype=torch.float64) > 0.7, torch.rand(2, 3).double()
    sigmas = tuple((scale,) * len(space) for scale in (0.0, 0.7, 2.0, 16.0))
    results = []
    for loss in (MultiScale(dice, sigmas, kernel), MultiScaleSums(of_sums, sigmas, kernel)):
        warped = torch.rand(
            2, 3, *space, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
        )
        warped.requires_grad_()
        value = loss(warped, fixed.double(), weights)
        torch.autograd.backward(value)
        results.append((value, warped.grad))
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-15)


def test_in_single_precision_both_ways_agree_on_large_labels() -> None:
    warped, fixed = (torch.rand(2, 1, 2, 40, 40, 40) > 0.5).float()
    sigmas = tuple((scale,) * 3 for scale in (0.0, 2.0, 8.0))
    plain, fast = (
        loss(warped, fixed, torch.ones(1, 2))
        for loss in (
            MultiScale(dice, sigmas, "gaussian"),
            MultiScaleSums(of_sums, sigmas, "gaussian"),
        )
    )
    torch.testing.assert_close(plain, fast, rtol=0, atol=2e-6)
