"""Two maps in one."""

from __future__ import annotations

import torch

from tenter.spatial import compose, smooth, warp


def wavy(seed: int, size: int, shape: tuple[int, int, int] = (24, 24, 24)) -> torch.Tensor:
    field = torch.randn(1, 3, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    field = smooth.smooth(field, (4.0, 4.0, 4.0))
    return field * size / field.abs().max()


def test_translations_add() -> None:
    outer = torch.full((1, 3, 4, 4, 4), 0.75)
    inner = torch.full((1, 3, 4, 4, 4), -0.25)
    torch.testing.assert_close(compose.compose(outer, inner), torch.full((1, 3, 4, 4, 4), 0.5))


def test_inner_is_applied_first() -> None:
    stretch = torch.arange(6.0).reshape(1, 1, 6, 1).expand(1, 2, 6, 6) * torch.tensor([1.0, 0]).reshape(
        1, 2, 1, 1
    )
    shift = torch.tensor([1.0, 0]).reshape(1, 2, 1, 1).expand(1, 2, 6, 6)
    after = compose.compose(outer=stretch, inner=shift)
    before = compose.compose(outer=shift, inner=stretch)
    assert after[0, 0, 2, 3] == 1 + 3  # 2 -> 3 -> 6
    assert before[0, 0, 2, 3] == 2 + 1  # 2 -> 4 -> 5


def test_one_warp_equals_two_but_for_blur() -> None:
    image = smooth.smooth(
        torch.rand(1, 1, 24, 24, 24, generator=torch.Generator().manual_seed(9), dtype=torch.float64),
        (2.0, 2.0, 2.0),
    )
    image = (image - image.min()) / (image.max() - image.min())
    outer, inner = wavy(1, 2), wavy(2, 2)
    twice = warp.warp(warp.warp(image, outer), inner)
    once = warp.warp(image, compose.compose(outer, inner))
    error = (twice - once)[..., 4:-4, 4:-4, 4:-4].abs()
    assert error.mean() < 5e-3
    assert error.max() < 3e-2
