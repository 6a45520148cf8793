"""Losses beside MONAI's, to 1e-5 or better where both mean the same; elsewhere by hand.

| of tenter                | MONAI's                             | where they differ              |
|--------------------------|-------------------------------------|--------------------------------|
| Gaussian kernel          | make_gaussian_kernel                | MONAI's sums to less than 1    |
| Cauchy kernel            | make_cauchy_kernel                  | nowhere                        |
| multi-scale Jaccard      | MultiScaleLoss, DiceLoss(jaccard)   | nowhere: what is lost cancels  |
| multi-scale Dice         | MultiScaleLoss, DiceLoss            | what the kernel loses          |
| multi-scale mean squares | MultiScaleLoss, MSELoss             | twice what the kernel loses    |
| `lncc`, box              | LocalNormalizedCrossCorrelationLoss | MONAI's zeros at borders count |
| `lncc`, gaussian         | the same, gaussian                  | in the window's width and cut  |
| `bending`                | BendingEnergyLoss                   | the stencil, from x⁴ on        |

Losses of one scale, mutual information and `gradient` are compared
with MONAI's in tests/unit/losses.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from monai.losses.dice import DiceLoss
from monai.losses.image_dissimilarity import LocalNormalizedCrossCorrelationLoss
from monai.losses.multi_scale import MultiScaleLoss, make_cauchy_kernel, make_gaussian_kernel
from torch import Tensor, nn

from tenter import config, losses
from tenter.losses import lncc as module
from tenter.losses.bending import bending
from tenter.losses.lncc import lncc
from tenter.spatial import smooth

SHAPE = (9, 11, 8)
SCALES = [0, 1, 2, 4, 8, 16]
"""label-reg's, in voxels."""


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ours(name: str, scale: float, kernel: str, labels: tuple[Tensor, Tensor]) -> float:
    """A label loss of one scale in voxels, of one label."""
    chosen = {"name": name, "scales_voxel": [scale], "kernel": kernel}
    settings = config.Losses.model_validate({"labels": [chosen]}).labels[0]
    present = torch.ones(labels[0].shape[:2], dtype=torch.float64)
    return losses.label_loss(settings, (0.8, 1.1, 2.5))(*labels, present).item()


def theirs(loss: nn.Module, scale: int, kernel: str, labels: tuple[Tensor, Tensor]) -> float:
    multi = MultiScaleLoss(loss, scales=[scale], kernel=kernel)  # type: ignore[arg-type] # any
    value: Tensor = multi(labels[1], labels[0])
    return value.item()


def kept(scale: int, kernel: str) -> float:
    """What MONAI's kernel leaves of a volume's mass, borders aside."""
    if scale == 0 or kernel == "cauchy":
        return 1.0
    return math.fsum(make_gaussian_kernel(scale).tolist()) ** 3


@pytest.mark.parametrize(("scale", "mass"), [(1, 0.9992), (32, 0.9923)])
def test_gaussian_kernels_are_monais_divided_by_their_sum(scale: int, mass: float) -> None:
    kernel = make_gaussian_kernel(scale).double()
    torch.testing.assert_close(
        smooth.kernel(float(scale)), kernel / kernel.sum(), rtol=0, atol=1e-7
    )
    assert kept(scale, "gaussian") == pytest.approx(mass, abs=1e-4)


@pytest.mark.parametrize("scale", [1, 3, 8])
def test_cauchy_kernels_are_monais(scale: int) -> None:
    expected = make_cauchy_kernel(scale).double()
    torch.testing.assert_close(smooth.kernel(float(scale), "cauchy"), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kernel", ["gaussian", "cauchy"])
@pytest.mark.parametrize("scale", SCALES)
def test_jaccard_at_each_scale_is_monais(scale: int, kernel: str) -> None:
    labels = random(1, 1, *SHAPE), random(1, 1, *SHAPE, seed=1)
    # MONAI writes 2 Σ p t / 2 (Σ p² + Σ t² - Σ p t).
    small = 2e-6 * kept(scale, kernel) ** 2
    reference = DiceLoss(jaccard=True, squared_pred=True, smooth_nr=0.0, smooth_dr=small)
    expected = theirs(reference, scale, kernel, labels)
    assert ours("jaccard", scale, kernel, labels) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kernel", ["gaussian", "cauchy"])
@pytest.mark.parametrize("scale", SCALES)
def test_dice_at_each_scale_is_monais_but_for_the_mass_that_its_kernel_loses(
    scale: int, kernel: str
) -> None:
    labels = random(1, 1, *SHAPE), random(1, 1, *SHAPE, seed=1)
    reference = DiceLoss(smooth_nr=0.0, smooth_dr=1e-6 * kept(scale, kernel))
    overlap = 1 - theirs(reference, scale, kernel, labels)
    # Of labels m p and m t, 2 Σ m² p t / Σ m (p + t) is m times as large.
    assert 1 - ours("dice", scale, kernel, labels) == pytest.approx(
        overlap / kept(scale, kernel), abs=1e-5
    )


@pytest.mark.parametrize("kernel", ["gaussian", "cauchy"])
@pytest.mark.parametrize("scale", SCALES)
def test_mean_squares_at_each_scale_are_monais_but_for_it_twice(scale: int, kernel: str) -> None:
    labels = random(1, 1, *SHAPE), random(1, 1, *SHAPE, seed=1)
    expected = theirs(nn.MSELoss(), scale, kernel, labels) / kept(scale, kernel) ** 2
    assert ours("mean_squared", scale, kernel, labels) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("sigma", [1, 2])
def test_dice_of_a_voxel_and_itself_is_what_smoothing_leaves_of_it(sigma: int) -> None:
    """By hand: at scale σ, 1 - 2 Σ k² / (2 Σ k), and k, of three axes, sums to 1."""
    label = torch.zeros(1, 1, 15, 15, 15, dtype=torch.float64)
    label[..., 7, 7, 7] = 1
    weights = [math.exp(-(x**2) / (2 * sigma**2)) for x in range(-3 * sigma, 3 * sigma + 1)]
    squares = sum((weight / sum(weights)) ** 2 for weight in weights) ** 3
    assert ours("dice", sigma, "gaussian", (label, label)) == pytest.approx(1 - squares, abs=1e-6)


def framed(shape: tuple[int, ...], margin: int) -> tuple[Tensor, Tensor]:
    """Two images that have something in common, with zeros around."""
    fixed = random(2, 1, *shape, seed=1)
    return tuple(  # type: ignore[return-value] # of two
        nn.functional.pad(image, [margin] * 2 * len(shape))
        for image in (random(2, 1, *shape) + fixed, fixed)
    )


@pytest.mark.parametrize("width", [3, 5])
@pytest.mark.parametrize("shape", [(8, 9, 7), (12, 10)])
def test_local_correlation_is_monais_where_zeros_lie_around(
    width: int, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So windows that reach beyond the border are constant, and neither counts them as alike."""
    monkeypatch.setattr(module, "EPSILON", 1e-9)  # a window of little variance is damped by it
    warped, fixed = framed(shape, margin=width - 1)
    reference = LocalNormalizedCrossCorrelationLoss(
        spatial_dims=len(shape), kernel_size=width, smooth_nr=0.0, smooth_dr=1e-9
    )
    inside = torch.ones(2, 1, *warped.shape[2:], dtype=torch.bool)
    value = lncc(warped, fixed, inside, window=(float(width),) * len(shape)).mean()
    # Ours goes from 0 (alike) to 1, MONAI's from -1 to 0.
    torch.testing.assert_close(value, 1 + reference(warped, fixed), rtol=0, atol=1e-5)


def test_local_correlation_in_gaussian_windows_by_hand() -> None:
    shape, width = (9, 8), 5.0
    warped, fixed = (
        random(1, 1, *shape) + random(1, 1, *shape, seed=1),
        random(1, 1, *shape, seed=1),
    )
    sigma = width / math.sqrt(12)
    tail = int(3 * sigma)
    squares = []
    for centre in itertools.product(*map(range, shape)):
        window = tuple(slice(max(0, index - tail), index + tail + 1) for index in centre)
        away = [
            np.arange(size)[part] - index
            for size, part, index in zip(shape, window, centre, strict=True)
        ]
        weights = np.outer(*(np.exp(-(steps**2) / (2 * sigma**2)) for steps in away)).ravel()
        values = np.stack([image[0, 0].numpy()[window].ravel() for image in (warped, fixed)])
        covariance = np.cov(values, aweights=weights, ddof=0)
        squares.append(covariance[0, 1] ** 2 / (covariance[0, 0] * covariance[1, 1]))
    inside = torch.ones(1, 1, *shape, dtype=torch.bool)
    value = lncc(warped, fixed, inside, window=(width, width), kernel="gaussian")
    assert value.item() == pytest.approx(1 - np.mean(squares), abs=1e-4)


def test_bending_of_a_fourth_power_by_hand() -> None:
    """u = x⁴ on five voxels: only x = 2 has voxels two away on either side.

    ((x + 2)⁴ - 2 x⁴ + (x - 2)⁴) / 4 = 12 x² + 8 = 56,
    where the next neighbours would give 12 x² + 2.
    """
    x = torch.arange(5.0, dtype=torch.float64).view(5, 1, 1).expand(5, 5, 5)
    field = torch.stack([x**4, torch.zeros_like(x), torch.zeros_like(x)])[None]
    assert bending(field, (1.0, 1.0, 1.0)).item() == pytest.approx(56**2 / 3, rel=1e-12)
