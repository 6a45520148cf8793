from __future__ import annotations

import pytest
import torch

from tenter.losses import presence


def test_a_label_is_filled_where_any_voxel_is() -> None:
    labels = torch.zeros(1, 3, 2, 2)
    labels[0, 1, 1, 0] = 1e-6
    labels[0, 2] = 1
    assert presence.filled(labels).tolist() == [[False, True, True]]


def test_weights_multiply_and_labels_without_one_are_not_counted() -> None:
    values = torch.tensor([[1.0, 2.0], [4.0, 8.0]])
    weights = torch.tensor([[3.0, 0.0], [0.5, 1.0]])
    assert presence.weighted_mean(values, weights).value.item() == pytest.approx((3 + 2 + 8) / 3)


def test_nothing_that_counts_is_zero() -> None:
    assert presence.weighted_mean(torch.ones(2, 2), torch.zeros(2, 2)).value.item() == 0
    assert presence.weighted_mean(torch.ones(2, 0), torch.zeros(2, 0)).value.item() == 0
