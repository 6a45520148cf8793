"""The best look, and how many looks since."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from tenter.config import Validation
from tenter.errors import TrainingError
from tenter.training.selection import Selection


def weight(value: float) -> nn.Module:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, value)
    return layer


def seen(name: str, values: list[float], **chosen: Any) -> Selection:
    """A selection after looks whose models carry their number as weight."""
    selection = Selection(Validation(**chosen))
    for number, value in enumerate(values):
        selection.look({f"val_{name}": value}, weight(number), 10 * number)
    return selection


@pytest.mark.parametrize(
    ("measure", "values"),
    [
        ("tre_mm", [0.5, 3.0, 2.0, 2.5]),
        ("dice", [0.9, 0.1, 0.8, 0.7]),
        ("soft_dice", [0.9, 0.1, 0.8, 0.8]),
    ],
)
def test_the_best_look_after_the_first_step_gives_the_weights(
    measure: str, values: list[float]
) -> None:
    chosen, step = seen(measure, values, measure=measure, keep="best").chosen(weight(9), 35)
    assert (float(chosen["weight"]), step) == (2.0, 20)


def test_the_last_weights_are_kept_where_they_are_asked_for() -> None:
    chosen, step = seen("dice", [0.0, 0.9, 0.1], measure="dice", patience=1).chosen(weight(9), 35)
    assert (float(chosen["weight"]), step) == (9.0, 35)


def test_kept_weights_do_not_follow_the_network() -> None:
    selection, network = Selection(Validation(keep="best")), weight(1)
    selection.look({"val_soft_dice": 0.5}, network, 10)
    for parameter in network.parameters():
        nn.init.constant_(parameter, 7.0)
    assert float(selection.chosen(network, 20)[0]["weight"]) == 1.0


def test_patience_counts_looks_in_a_row_without_a_better_one() -> None:
    values = [9.0, 3.0, 3.0, 2.0, math.nan, 2.5]
    patient = [
        seen("tre_mm", values[:count], measure="tre_mm", patience=2).enough for count in range(7)
    ]
    assert patient == [False] * 6 + [True]


def test_without_patience_it_is_never_enough() -> None:
    assert not seen("soft_dice", [0.5] * 50, keep="best").enough


def test_a_selection_goes_on_from_its_state() -> None:
    values = [0.0, 0.7, 0.6, 0.5]
    first = seen("soft_dice", values[:3], keep="best", patience=2)
    second = Selection(Validation(keep="best", patience=2))
    second.restore(first.state())
    second.look({"val_soft_dice": values[3]}, weight(3), 30)
    assert second.enough
    assert torch.equal(second.chosen(weight(9), 30)[0]["weight"], torch.tensor([[1.0]]))


def test_a_measure_that_nobody_set_aside_has_is_refused() -> None:
    selection = Selection(Validation(measure="tre_mm", keep="best"))
    with pytest.raises(TrainingError, match=r"validation\.measure: is tre_mm.*no landmark"):
        selection.look({"val_dice": 0.5}, weight(0), 0)


def test_it_is_not_missed_where_nothing_depends_on_it() -> None:
    selection = Selection(Validation(measure="tre_mm"))
    selection.look({}, weight(0), 10)
    assert not selection.needed
