"""Instance normalisation with channels innermost, against PyTorch's."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from tenter.networks import channels_last

SHAPES = [(2, 3, 5, 4, 6), (1, 2, 1, 7, 3), (3, 4, 6, 5)]


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_channels_innermost_give_what_pytorch_gives(
    shape: tuple[int, ...], *, linear: bool
) -> None:
    features, offset = torch.randn(shape).double() * 3 + 5, torch.randn(shape[1]).double()
    result = channels_last.instance_norm(features, offset, linear=linear)
    expected = functional.instance_norm(features, weight=torch.ones_like(offset), bias=offset)
    torch.testing.assert_close(result, expected if linear else functional.relu(expected))


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_its_gradients_are_those_of_finite_differences(
    shape: tuple[int, ...], *, linear: bool
) -> None:
    features = torch.randn(shape).double().requires_grad_()
    offset = torch.randn(shape[1]).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda features, offset: channels_last.instance_norm(features, offset, linear=linear),
        (features, offset),
    )


def test_float32_keeps_its_digits_over_many_voxels() -> None:
    features = torch.randn(1, 2, 64, 64, 32) + 3
    offset = torch.zeros(2)
    result = channels_last.instance_norm(features, offset, linear=True)
    exact = functional.instance_norm(features.double())
    torch.testing.assert_close(result.double(), exact, rtol=0, atol=5e-6)


def test_channels_stay_innermost_for_the_convolution_that_follows() -> None:
    features = torch.randn(2, 3, 4, 5, 6)
    result = channels_last.instance_norm(features, torch.zeros(3))
    assert result.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("block", [1, 40, 200])
def test_blocks_of_any_size_give_the_same(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given = torch.randn(3, 2, 4, 5, 3).double() * 3 + 5
    plain, cut = given.clone().requires_grad_(), given.requires_grad_()
    offset = torch.randn(2).double()
    expected = functional.relu(
        functional.instance_norm(plain, weight=torch.ones(2).double(), bias=offset)
    )
    monkeypatch.setattr(channels_last, "BLOCK", block)
    result = channels_last.instance_norm(cut, offset)
    torch.testing.assert_close(result, expected)
    push = torch.randn_like(result)
    torch.autograd.backward([result, expected], [push, push])
    torch.testing.assert_close(cut.grad, plain.grad)
