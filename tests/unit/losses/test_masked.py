from __future__ import annotations

import pytest
import torch

from tenter.losses import masked


def test_the_mean_is_over_voxels_inside_and_channels() -> None:
    values = torch.arange(8.0).reshape(1, 2, 2, 2)
    inside = torch.tensor([[[[True, False], [False, True]]]])
    assert masked.mean(values, inside).item() == (0 + 3 + 4 + 7) / 4


def test_nothing_inside_is_zero() -> None:
    assert (
        masked.mean(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2, dtype=torch.bool)).item() == 0
    )


def test_standardised_intensities_have_mean_0_and_variance_1_inside() -> None:
    torch.manual_seed(0)
    image, inside = 1000 + 3 * torch.rand(2, 2, 9, 8, 7), torch.rand(2, 1, 9, 8, 7) > 0.4
    result = masked.standardised(image, inside)
    for sample in range(2):
        for channel in range(2):
            seen = result[sample, channel][inside[sample, 0]]
            assert seen.mean().item() == pytest.approx(0, abs=1e-5)
            assert seen.square().mean().item() == pytest.approx(1, abs=1e-5)
    assert not (result * ~inside).any()


def test_a_constant_image_becomes_zero_however_bright() -> None:
    image = torch.full((1, 1, 20, 20, 20), 1e4 / 3)
    result = masked.standardised(image, torch.ones(1, 1, 20, 20, 20, dtype=torch.bool))
    assert result.abs().max().item() < 1e-3
