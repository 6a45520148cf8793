from __future__ import annotations

import pytest
import torch
from monai.losses.dice import DiceLoss
from torch import Tensor

from tenter.losses.dice import dice


def test_half_overlap_of_cubes_is_a_half() -> None:
    first, second = torch.zeros(2, 1, 1, 20, 20, 20)
    first[..., :10, :10, :10] = 1
    second[..., 5:15, :10, :10] = 1
    assert dice(first, second).item() == pytest.approx(0.5, abs=1e-6)


def test_binary_labels_give_hard_dice_of_each_label_of_each_sample() -> None:
    torch.manual_seed(0)
    first, second = torch.rand(2, 2, 3, 5, 6, 7) > 0.5
    shared = (first & second).flatten(2).sum(dim=2)
    expected = 1 - 2 * shared / (first.flatten(2).sum(dim=2) + second.flatten(2).sum(dim=2))
    torch.testing.assert_close(dice(first.float(), second.float()), expected)


def test_a_soft_label_is_not_wholly_like_itself() -> None:
    label = torch.full((1, 1, 4, 4, 4), 0.5)
    assert dice(label, label).item() == pytest.approx(1 - 2 * 0.25 / (0.5 + 0.5), abs=1e-6)


def test_soft_labels_agree_with_monai() -> None:
    torch.manual_seed(0)
    warped, fixed = torch.rand(2, 2, 3, 5, 6, 7)
    reference: Tensor = DiceLoss(smooth_nr=0.0, smooth_dr=1e-6, reduction="none")(warped, fixed)
    torch.testing.assert_close(dice(warped, fixed), reference.reshape(2, 3))


def test_no_overlap_is_one() -> None:
    first, second = torch.zeros(2, 1, 1, 4, 4, 4)
    first[..., 0] = 1
    second[..., 3] = 1
    assert dice(first, second).item() == 1.0


def test_gradient_is_right() -> None:
    torch.manual_seed(0)
    warped = torch.rand(1, 2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    fixed = torch.rand(1, 2, 3, 2, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda label: dice(label, fixed), warped)
