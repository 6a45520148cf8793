"""How weights move."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tenter.config import Training
from tenter.training.optimiser import Average, GuardedAdamW, learning_rate


def layer(value: float = 1.0) -> nn.Linear:
    made = nn.Linear(2, 1, bias=False)
    nn.init.constant_(made.weight, value)
    return made


def test_a_constant_rate_stays() -> None:
    training = Training(steps=10, learning_rate=0.3)
    assert {learning_rate(training, step) for step in range(10)} == {0.3}


def test_a_cosine_rate_falls_from_the_whole_over_the_half_to_zero() -> None:
    training = Training(steps=10, learning_rate=0.4, schedule="cosine")
    assert learning_rate(training, 0) == 0.4
    assert learning_rate(training, 5) == pytest.approx(0.2)
    assert learning_rate(training, 10) == pytest.approx(0)


def test_a_warm_up_rises_evenly_and_the_schedule_begins_after_it() -> None:
    training = Training(steps=12, learning_rate=0.4, warmup=2, schedule="cosine")
    rates = [learning_rate(training, step) for step in (0, 1, 2, 7, 12)]
    assert rates == pytest.approx([0.2, 0.4, 0.4, 0.2, 0])


def test_an_exponential_rate_falls_evenly_to_its_share() -> None:
    training = Training(steps=10, learning_rate=0.4, schedule="exponential", decay=0.01)
    rates = [learning_rate(training, step) for step in (0, 5, 10)]
    assert rates == pytest.approx([0.4, 0.04, 0.004])


def test_a_rate_in_steps_drops_at_each() -> None:
    training = Training(steps=10, learning_rate=0.4, schedule="steps", decay=0.5, decay_at=(3, 7))
    assert [learning_rate(training, step) for step in (0, 2, 3, 6, 7, 9)] == [
        0.4,
        0.4,
        0.2,
        0.2,
        0.1,
        0.1,
    ]


def test_the_first_step_is_adams_sign_of_the_gradient_and_decoupled_decay() -> None:
    network = layer()
    network.weight.grad = torch.tensor([[3.0, -0.2]])
    GuardedAdamW(network, Training(weight_decay=0.5)).advance(0.1, torch.tensor(1.0))
    assert torch.allclose(network.weight, torch.tensor([[0.95 - 0.1, 0.95 + 0.1]]), atol=1e-6)


def test_clipping_bounds_the_norm_that_adam_sees() -> None:
    clipped, scaled = layer(), layer()
    for network, clip, first in ((clipped, 1.0, [[3.0, 4.0]]), (scaled, None, [[0.6, 0.8]])):
        optimiser = GuardedAdamW(network, Training(clip=clip))
        for gradient in (first, [[0.1, 0.2]]):
            network.weight.grad = torch.tensor(gradient)
            optimiser.advance(0.1, torch.tensor(1.0))
    assert torch.allclose(clipped.weight, scaled.weight, atol=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_step_that_is_not_finite_changes_nothing(bad: float, where: str) -> None:
    network, twin = layer(), layer()
    optimiser, other = GuardedAdamW(network, Training()), GuardedAdamW(twin, Training())
    for guarded, weight, breaks in ((optimiser, network.weight, True), (other, twin.weight, False)):
        weight.grad = torch.tensor([[1.0, 2.0]])
        assert bool(guarded.advance(0.1, torch.tensor(1.0)))
        if breaks:
            weight.grad = torch.tensor([[bad if where == "gradient" else 1.0, 2.0]])
            assert not bool(guarded.advance(0.1, torch.tensor(bad if where == "loss" else 1.0)))
        weight.grad = torch.tensor([[-1.0, 0.5]])
        guarded.advance(0.1, torch.tensor(1.0))
    assert torch.equal(network.weight, twin.weight)


def test_the_average_follows_the_weights_with_a_warm_start() -> None:
    network = layer(0.0)
    average = Average(network, 0.5)
    nn.init.constant_(network.weight, 1.0)
    average.update(network, 0)  # decay 1/10
    average.update(network, 100)  # decay 1/2
    weights = torch.cat([parameter.flatten() for parameter in average.network.parameters()])
    assert weights.tolist() == pytest.approx([0.95, 0.95])


def test_the_average_takes_over_buffers() -> None:
    network = nn.BatchNorm1d(2)
    average = Average(network, 0.9)
    network(torch.randn(8, 2))
    average.update(network, 0)
    latest = dict(network.named_buffers())
    assert all(torch.equal(value, latest[name]) for name, value in average.network.named_buffers())
