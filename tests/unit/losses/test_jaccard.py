from __future__ import annotations

import pytest
import torch
from monai.losses.dice import DiceLoss

from tenter.losses.jaccard import jaccard


def test_half_overlap_of_cubes_is_a_third() -> None:
    first, second = torch.zeros(2, 1, 1, 20, 20, 20)
    first[..., :10, :10, :10] = 1
    second[..., 5:15, :10, :10] = 1
    assert jaccard(first, second).item() == pytest.approx(1 - 1 / 3, abs=1e-6)


def test_an_equal_soft_label_is_wholly_alike() -> None:
    torch.manual_seed(0)
    label = torch.rand(1, 2, 4, 5, 6)
    torch.testing.assert_close(jaccard(label, label), torch.zeros(1, 2), rtol=0, atol=1e-6)


def test_soft_labels_agree_with_monai() -> None:
    torch.manual_seed(0)
    warped, fixed = torch.rand(2, 2, 3, 5, 6, 7)
    loss = DiceLoss(jaccard=True, squared_pred=True, smooth_nr=0.0, smooth_dr=0.0, reduction="none")
    reference = loss(warped, fixed)
    # MONAI writes 2 pt / (2 (p^2 + t^2 - pt)).
    torch.testing.assert_close(jaccard(warped, fixed), reference.reshape(2, 3))
