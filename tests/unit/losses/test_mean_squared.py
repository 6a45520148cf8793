from __future__ import annotations

import pytest
import torch

from tenter.losses.mean_squared import mean_squared


def test_the_mean_runs_over_the_voxels_of_each_label() -> None:
    warped = torch.zeros(1, 2, 2, 2, 2)
    fixed = torch.zeros(1, 2, 2, 2, 2)
    fixed[0, 0, 0, 0, 0] = 1
    fixed[0, 1] = 0.5
    assert mean_squared(warped, fixed)[0].tolist() == pytest.approx([1 / 8, 1 / 4])
