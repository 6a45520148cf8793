from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tenter import config, losses
from tenter.losses.lncc import lncc

SHAPE = (12, 10, 11)


def _images() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    warped, fixed = torch.rand(2, 1, 1, *SHAPE, dtype=torch.float64)
    return warped + 0.7 * fixed, fixed, torch.ones(1, 1, *SHAPE, dtype=torch.bool)


def _correlation(one: np.ndarray, other: np.ndarray, place: tuple[int, ...], half: int) -> float:
    """Of the window around a voxel, as far as it lies in the image."""
    window = tuple(slice(max(0, index - half), index + half + 1) for index in place)
    return float(np.corrcoef(one[window].ravel(), other[window].ravel())[0, 1])


@pytest.mark.parametrize("signed", [False, True])
def test_it_is_the_mean_correlation_of_windows_those_at_the_border_too(
    signed: bool,  # noqa: FBT001
) -> None:
    warped, fixed, inside = _images()
    rows = [
        _correlation(warped[0, 0].numpy(), fixed[0, 0].numpy(), place, half=2)
        for place in np.ndindex(SHAPE)
    ]
    expected = 1 - np.mean(np.array(rows) ** (1 if signed else 2))
    value = lncc(warped, fixed, inside, window=(5.0, 5.0, 5.0), signed=signed)
    assert value.item() == pytest.approx(expected, abs=1e-4)


def test_voxels_outside_count_in_no_window() -> None:
    warped, fixed, inside = _images()
    inside[:, :, 6:] = False
    value = lncc(warped, fixed, inside, window=(3.0, 3.0, 3.0))
    cut = lncc(warped[:, :, :6], fixed[:, :, :6], inside[:, :, :6], window=(3.0, 3.0, 3.0))
    torch.testing.assert_close(value, cut)


def test_a_window_in_mm_is_rounded_to_an_odd_number_of_voxels_along_each_axis() -> None:
    warped, fixed, inside = _images()
    term = losses.image_loss(config.LnccLoss(window_mm=9.0), (1.0, 2.0, 9.0))
    expected = lncc(warped, fixed, inside, window=(9.0, 5.0, 3.0))
    torch.testing.assert_close(term(warped, fixed, inside), expected)


def test_a_gaussian_window_has_the_boxs_variance() -> None:
    warped, fixed, inside = _images()
    box, gaussian = (
        lncc(warped, fixed, inside, window=(7.0, 7.0, 7.0), kernel=kernel)
        for kernel in ("box", "gaussian")
    )
    assert gaussian.item() == pytest.approx(box.item(), abs=0.02)
    assert gaussian.item() != box.item()


def test_contrast_may_change_from_place_to_place() -> None:
    torch.manual_seed(0)
    fixed = torch.rand(1, 1, 24, 24, dtype=torch.float64)
    slope = torch.linspace(1, 3, 24, dtype=torch.float64)
    inside = torch.ones(1, 1, 24, 24, dtype=torch.bool)
    changed = slope * fixed + 2 * slope[:, None]
    assert lncc(changed, fixed, inside, window=(3.0, 3.0)).item() < 0.15
    assert lncc(torch.rand_like(fixed), fixed, inside, window=(3.0, 3.0)).item() > 0.8
