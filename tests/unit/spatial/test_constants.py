"""Constants: kept between calls, but for tensors that are not there for good."""

from __future__ import annotations

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tenter.spatial import constants


def test_numbers_have_the_tensors_kind_and_are_made_once() -> None:
    like = torch.zeros(1, dtype=torch.float64)
    first = constants.numbers((2, 0.5), like)
    assert first.tolist() == [2, 0.5]
    assert first.dtype == torch.float64
    assert constants.numbers([2, 0.5], like) is first
    assert constants.numbers((2, 0.5), like.float()).dtype == torch.float32


def test_what_is_made_while_arithmetic_is_counted_is_not_kept() -> None:
    with FakeTensorMode():
        constants.numbers((3.25, 7), torch.zeros(1))
    assert constants.numbers((3.25, 7), torch.zeros(1)).tolist() == [3.25, 7]


def test_what_is_made_for_inference_serves_training() -> None:
    with torch.inference_mode():
        constants.numbers((1.75,), torch.zeros(1))
    assert not constants.numbers((1.75,), torch.zeros(1)).is_inference()
