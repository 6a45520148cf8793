from __future__ import annotations

import pytest
import torch
from monai.losses.dice import GeneralizedDiceLoss

from tenter.losses.dice import dice
from tenter.losses.generalised_dice import generalised_dice, of_sums
from tenter.losses.scales import MultiScaleSums

PLAIN = MultiScaleSums(of_sums, ((0.0, 0.0, 0.0),), "gaussian")


def test_volumes_do_not_matter_by_hand() -> None:
    fixed, warped = torch.zeros(2, 1, 2, 10, 10)
    fixed[0, 0, :8] = 1  # 80 voxels, all found
    warped[0, 0, :8] = 1
    fixed[0, 1, 9, :4] = 1  # 4 voxels, none found, nothing else claimed
    large, small = 1 / 80**2, 1 / 4**2
    expected = 1 - 2 * (large * 80) / (large * 160 + small * 4)
    assert generalised_dice(warped, fixed).item() == pytest.approx(expected, rel=1e-5)


def test_of_a_single_label_it_is_dice() -> None:
    torch.manual_seed(0)
    warped, fixed = torch.rand(2, 3, 1, 5, 6, 7)
    torch.testing.assert_close(
        generalised_dice(warped, fixed), dice(warped, fixed), rtol=0, atol=1e-4
    )


def test_it_agrees_with_monai() -> None:
    torch.manual_seed(0)
    warped, fixed = torch.rand(2, 2, 3, 5, 6, 7, dtype=torch.float64)
    fixed = (fixed > torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64).view(3, 1, 1, 1)).double()
    reference = GeneralizedDiceLoss(smooth_nr=0.0, smooth_dr=0.0, reduction="none")(warped, fixed)
    torch.testing.assert_close(
        generalised_dice(warped, fixed), reference.reshape(2, 1), rtol=1e-6, atol=0
    )


def test_a_label_without_weight_is_left_out() -> None:
    torch.manual_seed(0)
    warped, fixed = torch.rand(2, 1, 3, 5, 6, 7)
    weights = torch.tensor([[1.0, 0.0, 1.0]])
    chosen = generalised_dice(warped[:, [0, 2]], fixed[:, [0, 2]])
    torch.testing.assert_close(PLAIN(warped, fixed, weights), chosen.squeeze())


def test_the_mean_runs_over_samples_that_have_a_label() -> None:
    torch.manual_seed(0)
    warped, fixed = torch.rand(2, 3, 2, 5, 6, 7)
    weights = torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 2.0]])
    expected = (generalised_dice(warped[:1], fixed[:1]) + dice(warped[2:, 1:], fixed[2:, 1:])) / 2
    torch.testing.assert_close(PLAIN(warped, fixed, weights), expected.squeeze(), rtol=0, atol=1e-4)


def test_an_empty_fixed_label_keeps_the_loss_finite() -> None:
    warped, fixed = torch.ones(1, 2, 4, 4, 4), torch.zeros(1, 2, 4, 4, 4)
    fixed[0, 0] = 1
    assert 0 < generalised_dice(warped, fixed).item() <= 1
