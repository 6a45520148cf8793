from __future__ import annotations

import pytest
import torch
from monai.losses.dice import DiceLoss
from torch import Tensor

from tenter.losses.dice import dice


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
