from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from tenter.losses.cross_entropy import cross_entropy


def test_soft_labels_agree_with_torch() -> None:
    torch.manual_seed(0)
    warped, fixed = torch.rand(2, 2, 3, 5, 6, 7) * 0.98 + 0.01
    reference = functional.binary_cross_entropy(warped, fixed, reduction="none").mean(dim=(2, 3, 4))
    torch.testing.assert_close(cross_entropy(warped, fixed), reference)


def test_even_odds_cost_log_two() -> None:
    warped = torch.full((1, 1, 3, 3, 3), 0.5)
    assert cross_entropy(warped, torch.ones(1, 1, 3, 3, 3)).item() == pytest.approx(math.log(2))


def test_a_certain_error_costs_what_the_clipping_leaves() -> None:
    warped, fixed = torch.zeros(1, 1, 2, 2, 2), torch.ones(1, 1, 2, 2, 2)
    assert cross_entropy(warped, fixed).item() == pytest.approx(-math.log(1e-6))
    assert cross_entropy(fixed, warped).item() == pytest.approx(-math.log(1e-6), rel=5e-3)
