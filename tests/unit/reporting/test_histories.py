"""What training curves say against a model."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from tenter.reporting import histories


def rows(losses: list[float], every: int = 50) -> list[dict[str, float]]:
    return [{"step": float(every * (place + 1)), "loss": loss} for place, loss in enumerate(losses)]


def noise(count: int, spread: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, spread, count)


FALLING: dict[str, Callable[[], np.ndarray]] = {
    "exponential": lambda: 0.4 + 0.5 * np.exp(-np.arange(40) / 8),
    "noisy": lambda: 0.4 + 0.5 * np.exp(-np.arange(40) / 8) + noise(40, 0.05),
    "two figures": lambda: np.array([0.8, 0.7]),
    "below zero": lambda: -0.2 - 0.5 * (1 - np.exp(-np.arange(40) / 8)),
    "slow": lambda: np.linspace(1.0, 0.9, 60) + noise(60, 0.01),
}
FLAT: dict[str, Callable[[], np.ndarray]] = {
    "constant": lambda: np.full(30, 0.43),
    "noise": lambda: 0.43 + noise(60, 0.03, 1),
    "rising": lambda: np.linspace(0.4, 0.6, 30),
    "two figures": lambda: np.array([0.646, 0.645]),
    "below zero": lambda: np.full(30, -0.3),
    "a thousandth": lambda: np.linspace(1.0, 0.999, 40),
}


@pytest.mark.parametrize("course", FALLING)
def test_a_loss_that_fell_is_not_talked_of(course: str) -> None:
    assert list(histories.warnings("m", {"0": rows(FALLING[course]().tolist())})) == []


@pytest.mark.parametrize("course", FLAT)
def test_a_loss_that_did_not_fall_is_told_with_what_to_do(course: str) -> None:
    (said,) = histories.warnings("m", {"0": rows(FLAT[course]().tolist())})
    assert said.startswith("Model m: the training loss did not fall in fold 0 (")
    assert said.endswith("Raise training.learning_rate or training.steps.")


def test_only_the_folds_that_did_not_learn_are_named() -> None:
    flat, falling = rows([0.5] * 20), rows(np.linspace(1, 0.2, 20).tolist())
    (said,) = histories.warnings("m", {"0": flat, "1": falling, "2": flat})
    assert "did not fall in fold 0 and 2 (0.5 at the beginning, 0.5 at the end)" in said
    (said,) = histories.warnings("m", {"0": flat, "1": flat})
    assert "did not fall in any fold" in said


@pytest.mark.parametrize("losses", [[], [0.5]])
def test_a_loss_that_was_recorded_once_says_nothing(losses: list[float]) -> None:
    (said,) = histories.warnings("m", {"0": rows(losses)})
    assert "was recorded fewer than two times" in said


def test_ends_are_means_of_a_fifth() -> None:
    first, last = histories.loss_ends(rows([4.0, 2.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 1.0, 3.0])) or (
        None,
        None,
    )
    assert first is not None
    assert last is not None
    assert (first.mean, last.mean) == (3.0, 2.0)
    assert last.error == pytest.approx(
        math.sqrt(2) / math.sqrt(2)
    )  # 1 and 3: deviation sqrt(2), of two


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        ({"0": 1}, "Validation of fold 0 is on a single pair"),
        ({"0": 1, "1": 1}, "Validation of every fold is on a single pair"),
        ({"0": 1, "1": 5, "2": 1}, "Validation of fold 0 and 2 is on a single pair"),
        ({"0": 3, "1": 2}, None),
        ({"0": 0, "all": 0}, None),
        ({}, None),
    ],
)
def test_curves_of_a_single_validation_pair_are_told(
    pairs: dict[str, int], told: str | None
) -> None:
    said = list(histories.validation(pairs))
    assert [line.startswith(told or "-") for line in said] == ([True] if told else [])
