from __future__ import annotations

import pytest
import torch
from scipy import ndimage
from torch import Tensor

from tenter.losses.centroid import centroid
from tenter.spatial import warp

SPACING = (1.0, 2.0, 3.0)


def _point(*place: int) -> Tensor:
    label = torch.zeros(1, 1, 12, 12, 12, dtype=torch.float64)
    label[0, 0, place[0], place[1], place[2]] = 1
    return label


def test_the_distance_is_in_millimetres() -> None:
    one, other = _point(2, 3, 4), _point(5, 5, 5)  # 3, 4 and 3 mm apart
    assert centroid(one, other, SPACING, "squared").values.item() == pytest.approx(34)
    assert centroid(one, other, SPACING).values.item() == pytest.approx(34**0.5 - 0.5)
    assert centroid(one, other, SPACING, beta_mm=4.0).values.item() == pytest.approx(34**0.5 - 2)


def test_near_by_huber_is_half_the_square() -> None:
    one, other = _point(2, 3, 4), _point(3, 3, 4)
    assert centroid(one, other, SPACING, beta_mm=2.0).values.item() == pytest.approx(1 / (2 * 2))


def test_soft_centroids_are_scipys() -> None:
    torch.manual_seed(0)
    one, other = torch.rand(2, 1, 1, 5, 6, 7, dtype=torch.float64)
    places = [torch.tensor(ndimage.center_of_mass(label[0, 0].numpy())) for label in (one, other)]
    expected = ((places[0] - places[1]) * torch.tensor(SPACING)).square().sum()
    torch.testing.assert_close(centroid(one, other, SPACING, "squared").values[0, 0], expected)


def test_equal_labels_cost_nothing_and_have_no_gradient() -> None:
    label = _point(2, 3, 4).requires_grad_()
    value = centroid(label, label.detach(), SPACING).values.sum()
    torch.autograd.backward(value)
    assert value.item() == 0
    assert label.grad is not None
    assert not label.grad.any()


def test_a_label_that_vanished_is_not_found_and_has_no_gradient() -> None:
    torch.manual_seed(0)
    warped = torch.cat(
        [torch.zeros(1, 1, 4, 4), 1e-3 * torch.rand(1, 1, 4, 4)], dim=1
    ).requires_grad_()
    distances = centroid(warped, torch.rand(1, 2, 4, 4), (1.0, 1.0))
    torch.autograd.backward(distances.values.sum())
    assert distances.defined.tolist() == [[False, False]]
    assert warped.grad is not None
    assert not warped.grad.any()


def test_descending_brings_a_label_without_overlap_home() -> None:
    moving, fixed = _point(2, 3, 4).float(), _point(8, 6, 5).float()
    moving, fixed = (torch.nn.functional.max_pool3d(label, 3, 1, 1) for label in (moving, fixed))
    shift = torch.zeros(1, 3, 1, 1, 1, requires_grad=True)
    optimiser = torch.optim.SGD([shift], lr=0.1)
    for _ in range(60):
        optimiser.zero_grad()
        warped = warp.warp(moving, shift.expand(1, 3, 12, 12, 12), padding="zeros")
        torch.autograd.backward(centroid(warped, fixed, (1.0, 1.0, 1.0), "squared").values.sum())
        optimiser.step()
    assert shift.detach().flatten().tolist() == pytest.approx([-6, -3, -1], abs=0.05)
