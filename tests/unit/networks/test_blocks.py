from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tenter.networks import blocks


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("shape", [(9, 8, 5), (3, 4, 2), (1, 7, 3)])
def test_resize_is_trilinear_interpolation(shape: tuple[int, int, int]) -> None:
    features = torch.randn(2, 3, 5, 4, 3)
    expected = functional.interpolate(features, shape, mode="trilinear", align_corners=False)
    torch.testing.assert_close(blocks.resize(features, shape), expected)


def test_resize_in_two_dimensions_is_bilinear_interpolation() -> None:
    features = torch.randn(2, 3, 5, 4)
    expected = functional.interpolate(features, (9, 7), mode="bilinear", align_corners=False)
    torch.testing.assert_close(blocks.resize(features, (9, 7)), expected)


def test_resize_passes_the_gradient_of_interpolation() -> None:
    first, second = (torch.randn(1, 2, 3, 4, 2) for _ in range(2))
    second = first.clone().requires_grad_()
    first.requires_grad_()
    weight = torch.randn(1, 2, 6, 7, 4)
    torch.autograd.backward((blocks.resize(first, (6, 7, 4)) * weight).sum())
    torch.autograd.backward(
        (functional.interpolate(second, (6, 7, 4), mode="trilinear") * weight).sum()
    )
    torch.testing.assert_close(first.grad, second.grad)


def test_resize_keeps_float32_under_autocast() -> None:
    field = torch.randn(1, 3, 3, 3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        resized = blocks.resize(field, (6, 6, 6))
    torch.testing.assert_close(resized, blocks.resize(field, (6, 6, 6)), rtol=0, atol=0)


def test_halve_counts_an_odd_last_plane_as_a_whole_one() -> None:
    features = torch.arange(5.0).reshape(1, 1, 5, 1, 1)
    assert blocks.halve(features).flatten().tolist() == [1.0, 3.0, 4.0]


@pytest.mark.parametrize("shape", [(2, 2, 2), (2, 5, 4), (5, 1, 4), (1, 1, 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_half_precision_has_gradients_of_its_own_memory(
    shape: tuple[int, int, int], stride: int
) -> None:
    block = blocks.Convolution(16, 32, "group", stride=stride)
    features = torch.randn(2, 16, *shape)
    gradients = []
    for half in (False, True):
        block.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            result = block(features)
        torch.autograd.backward(result.float().square().sum())
        gradient = block.convolution.weight.grad
        assert gradient is not None
        gradients.append(gradient.clone())
    largest = float(gradients[0].abs().max())
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=0.05 * largest + 1e-6)


def test_residual_down_forwards_the_features_before_its_residual_unit() -> None:
    block = blocks.ResidualDown(2, 4, "instance")
    features = torch.randn(1, 2, 5, 4, 6)
    skip, out = block(features)
    entered = functional.relu(
        _normalised(functional.conv3d(features, _weight(block.enter), padding=1))
    )
    first = functional.relu(
        _normalised(functional.conv3d(entered, _weight(block.first), padding=1))
    )
    second = _normalised(functional.conv3d(first, _weight(block.second), padding=1))
    expected = functional.max_pool3d(functional.relu(second + entered), 2, ceil_mode=True)
    torch.testing.assert_close(skip, entered)
    torch.testing.assert_close(out, expected)


def test_field_head_is_zero_and_float32_under_autocast() -> None:
    head = blocks.FieldHead(4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        field = head(torch.randn(1, 4, 3, 3, 3).bfloat16())
    assert field.dtype == torch.float32
    assert not field.any()


def test_side_by_side_puts_moving_first() -> None:
    moving, fixed = torch.zeros(1, 1, 2, 2, 2), torch.ones(1, 2, 2, 2, 2)
    assert blocks.side_by_side(moving, fixed)[0, :, 0, 0, 0].tolist() == [0.0, 1.0, 1.0]


def _weight(block: blocks.Convolution) -> Tensor:
    return block.convolution.weight


def _normalised(features: Tensor) -> Tensor:
    variance, mean = torch.var_mean(features, dim=(2, 3, 4), keepdim=True, correction=0)
    return (features - mean) / (variance + 1e-5).sqrt()


@pytest.mark.parametrize("space", [(5, 6, 4), (1, 3, 2), (7, 5)])
def test_a_head_is_a_convolution(space: tuple[int, ...]) -> None:
    head = blocks.FieldHead(4, len(space)).double()
    for weight in head.parameters():
        torch.nn.init.normal_(weight)
    features = torch.randn(2, 4, *space, dtype=torch.float64)
    torch.testing.assert_close(head(features), head.convolution(features))
