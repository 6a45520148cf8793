"""Intensities: what each change does to values, also to negative ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from tenter.sampling.augmentation.intensity import biased, blurred, changed, curved
from tenter.sampling.augmentation.recipe import Change, Lattice
from tenter.spatial import bspline

SHAPE = (10, 12, 8)


def picture(channels: int = 2) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(3, channels, *SHAPE)


def each(*values: float) -> np.ndarray:
    return np.array(values).reshape(3, 2)


VALUES = each(0.5, 1, 2, 3, 4, 5)


def spread(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values).float()[..., None, None, None]


def test_no_change_is_the_image_itself() -> None:
    image = picture()
    assert changed(image, Change()) is image


def test_gain_and_offset_are_each_channels_own() -> None:
    image = picture()
    found = changed(image, Change(gain=VALUES, offset=VALUES - 3))
    assert torch.allclose(found, image * spread(VALUES) + spread(VALUES - 3))


def test_gamma_keeps_order_and_ends_below_nought_too() -> None:
    image = picture()
    found = curved(image, spread(VALUES))
    for before, after in zip(image.flatten(0, 1), found.flatten(0, 1), strict=True):
        assert before.min() < 0
        assert float(after.min()) == pytest.approx(float(before.min()), abs=1e-5)
        assert float(after.max()) == pytest.approx(float(before.max()), abs=1e-5)
        assert bool((after.flatten()[before.flatten().argsort()].diff() >= -1e-6).all())


def test_gamma_by_hand() -> None:
    image = torch.tensor([-2.0, -1.0, 2.0]).reshape(1, 1, 3, 1, 1)
    found = curved(image, torch.full((1, 1, 1, 1, 1), 2.0))
    assert found.flatten().tolist() == pytest.approx([-2, -2 + 4 / 16, 2])


def test_gamma_leaves_a_constant_channel_alone() -> None:
    image = torch.full((3, 2, *SHAPE), -1.5)
    assert torch.equal(curved(image, spread(VALUES)), image)


def test_a_bias_multiplies_above_the_darkest_voxel() -> None:
    image = picture()
    spacing = (4.0, 4.0, 4.0)
    values = np.random.default_rng(0).uniform(-0.3, 0.3, (3, 2, *bspline.lattice(SHAPE, spacing)))
    found = biased(image, Lattice(values, spacing))
    darkest = image.amin((2, 3, 4), keepdim=True)
    factor = ((found - darkest) / (image - darkest))[image > darkest]
    assert np.exp(-0.3) < float(factor.min()) < 1 < float(factor.max()) < np.exp(0.3)
    assert torch.allclose(found.amin((2, 3, 4), keepdim=True), darkest)


def test_blur_is_scipys_where_the_border_is_far() -> None:
    image = torch.zeros(1, 1, 25, 25, 25)
    image[..., 12, 12, 12] = 1
    found = blurred(image, torch.tensor([[[2.0, 1.0, 1.5]]]))
    expected = ndimage.gaussian_filter(image[0, 0].double().numpy(), (2.0, 1.0, 1.5), truncate=6)
    assert np.allclose(found[0, 0].numpy(), expected, atol=1e-6)


def test_blur_keeps_a_constant_up_to_the_border_and_nought_is_none() -> None:
    sigma = torch.tensor([0.0, 3.0]).reshape(1, 2, 1).expand(3, 2, 3)
    ones = torch.ones(3, 2, *SHAPE)
    assert torch.allclose(blurred(ones, sigma), ones)
    image = picture()
    assert torch.equal(blurred(image, sigma)[:, 0], image[:, 0])


def test_noise_has_the_drawn_deviation_in_each_channel() -> None:
    image = torch.zeros(3, 2, 20, 20, 20)
    found = changed(image, Change(noise=VALUES, noise_seeds=(5, 6, 7)))
    assert found.std((2, 3, 4)).numpy() == pytest.approx(VALUES, rel=0.05)
    assert float(torch.corrcoef(found.flatten(0, 1).flatten(1)).tril(-1).abs().max()) < 0.05


def test_noise_is_the_same_for_a_seed_and_touches_no_generator() -> None:
    state = torch.get_rng_state()
    image = torch.zeros(3, 2, *SHAPE)
    first, again, other = (
        changed(image, Change(noise=VALUES, noise_seeds=seeds))
        for seeds in ((5, 6, 7), (5, 6, 7), (6, 7, 8))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_image_that_comes_in_is_left_alone() -> None:
    image = picture()
    before = image.clone()
    spacing = (4.0, 4.0, 4.0)
    bias = Lattice(np.full((3, 2, *bspline.lattice(SHAPE, spacing)), 0.1), spacing)
    blur = np.ones((3, 2, 3))
    smooth = Change(blur=blur, bias=bias, gamma=VALUES)
    changed(image, replace(smooth, gain=VALUES, offset=VALUES, noise=VALUES, noise_seeds=(1, 2, 3)))
    assert torch.equal(image, before)
