"""Smoothing against SciPy's correlation and known kernels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from tenter.spatial import smooth

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("sigma", "length"),
    [(0.0, 1), (0.2, 1), (1.0, 7), (2.0, 13), (4.0, 25), (8.0, 49), (16.0, 97), (32.0, 193)],
)
def test_gaussian_has_label_regs_length(sigma: float, length: int) -> None:
    weights = smooth.kernel(sigma)
    assert len(weights) == length
    assert abs(float(weights.sum()) - 1) < 1e-12


def test_gaussian_values_by_hand() -> None:
    weights = smooth.kernel(1.0)
    total = 1 + 2 * (np.exp(-0.5) + np.exp(-2) + np.exp(-4.5))
    np.testing.assert_allclose(weights[3:], np.exp([0, -0.5, -2, -4.5]) / total, rtol=1e-12)


def test_cauchy_values_by_hand() -> None:
    weights = smooth.kernel(2.0, "cauchy")
    assert len(weights) == 21
    assert abs(float(weights[12] / weights[10]) - 0.5) < 1e-12  # half its height at sigma


def test_box_reaches_its_half_width() -> None:
    assert smooth.kernel(1.9, "box").tolist() == [1 / 3] * 3
    assert smooth.kernel(2.0, "box").tolist() == [1 / 5] * 5


@pytest.mark.parametrize("kind", ["gaussian", "cauchy", "box"])
def test_twice_in_one_pass_is_twice_in_a_row(kind: smooth.Kind) -> None:
    volume = torch.rand(
        1, 2, 9, 6, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    sigma = (1.5, 0.0, 4.0)
    twice = smooth.smooth(smooth.smooth(volume, sigma, kind), sigma, kind)
    torch.testing.assert_close(smooth.smooth(volume, sigma, kind, times=2), twice)


@pytest.mark.parametrize("kind", ["gaussian", "cauchy", "box"])
@pytest.mark.parametrize("sigma", [(1.5, 0.8, 4.0), (0.0, 2.0, 0.0)])
def test_volume_agrees_with_scipy(kind: smooth.Kind, sigma: tuple[float, float, float]) -> None:
    volume = torch.rand(
        2, 2, 9, 6, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    expected = volume.numpy()
    for axis, width in enumerate(sigma):
        weights = smooth.kernel(width, kind).numpy()
        expected = ndimage.correlate1d(expected, weights, axis + 2, mode="constant")
    np.testing.assert_allclose(smooth.smooth(volume, sigma, kind), expected, rtol=0, atol=1e-12)


def test_two_dimensions() -> None:
    volume = torch.zeros(1, 1, 9, 9)
    volume[0, 0, 4, 4] = 1
    weights = smooth.kernel(1.0).float()
    torch.testing.assert_close(
        smooth.smooth(volume, (1.0, 1.0))[0, 0, 1:8, 1:8],
        weights[:, None] * weights,
        rtol=0,
        atol=1e-6,
    )


def test_matrix_made_for_inference_serves_training() -> None:
    width = (1.03, 1.03, 1.03)  # of which no matrix is kept yet
    with torch.inference_mode():
        smooth.smooth(torch.rand(1, 1, 5, 5, 5), width)
    volume = torch.rand(1, 1, 5, 5, 5, requires_grad=True)
    smooth.smooth(volume, width).square().sum().backward()  # type: ignore[no-untyped-call]
    assert volume.grad is not None
    assert volume.grad.abs().sum() > 0


def test_gradient_is_right() -> None:
    volume = torch.rand(1, 1, 3, 4, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda item: smooth.smooth(item, (1.0, 2.0, 0.5)), (volume,))
