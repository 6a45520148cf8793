"""Laws of drawing: nothing is remembered, everyone gets a turn, nothing is drawn twice."""

from __future__ import annotations

from collections import Counter
from typing import Literal, get_args

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as some

from tenter.config import Training
from tenter.data.sampling import draw
from tenter.records import Role

Sampling = Literal["uniform", "balanced"]
ROLES = some.lists(
    some.lists(some.sampled_from(("structure", "landmark")), min_size=1, max_size=5), min_size=1, max_size=12
)
BATCHES = some.integers(1, 6)
STEPS = some.integers(0, 10_000)


@given(roles=ROLES, batch=BATCHES, step=STEPS, seed=some.integers(0, 2**40), fold=some.text(max_size=4))
@settings(max_examples=60, deadline=None)
def test_equal_arguments_give_equal_draws(
    roles: list[list[Role]], batch: int, step: int, seed: int, fold: str
) -> None:
    training = Training(batch=batch, labels_per_pair=2)
    first = draw(roles, training, 0.1, seed=seed, fold=fold, step=step)
    np.random.default_rng(0).random(100)
    draw(roles, training, 0.1, seed=seed, fold=fold, step=step + 1)
    second = draw(roles, training, 0.1, seed=seed, fold=fold, step=step)
    assert first.pairs == second.pairs
    assert first.labels == second.labels
    assert np.array_equal(first.corners, second.corners)


@given(roles=ROLES, batch=BATCHES, step=STEPS)
@settings(max_examples=60, deadline=None)
def test_pairs_of_a_batch_are_distinct_where_there_are_enough(
    roles: list[list[Role]], batch: int, step: int
) -> None:
    drawn = draw(roles, Training(batch=batch), 0.1, seed=0, fold="0", step=step)
    assert len(drawn.pairs) == batch
    assert len(set(drawn.pairs)) == min(batch, len(roles))


@given(count=some.integers(1, 12), batch=BATCHES, number=some.integers(0, 50))
@settings(max_examples=60, deadline=None)
def test_a_pass_shows_no_pair_twice_and_drops_less_than_a_batch(count: int, batch: int, number: int) -> None:
    batch = min(batch, count)
    steps = count // batch
    roles: list[list[Role]] = [["landmark"]] * count
    turn = range(number * steps, (number + 1) * steps)
    drawn = [
        pair
        for step in turn
        for pair in draw(roles, Training(batch=batch), 0.0, seed=3, fold="1", step=step).pairs
    ]
    assert max(Counter(drawn).values()) == 1
    assert len(drawn) > count - batch


@given(roles=ROLES, wanted=some.integers(1, 6), how=some.sampled_from(get_args(Sampling)), step=STEPS)
@settings(max_examples=60, deadline=None)
def test_labels_are_a_pairs_own_distinct_and_as_many_as_wanted(
    roles: list[list[Role]], wanted: int, how: Sampling, step: int
) -> None:
    training = Training(batch=3, labels_per_pair=wanted, label_sampling=how)
    drawn = draw(roles, training, 0.1, seed=0, fold="0", step=step)
    for pair, labels in zip(drawn.pairs, drawn.labels, strict=True):
        assert len(labels) == len(set(labels)) == min(wanted, len(roles[pair]))
        assert all(0 <= label < len(roles[pair]) for label in labels)


@given(corner=some.floats(0.0, 0.99), step=STEPS)
@settings(max_examples=40, deadline=None)
def test_corners_move_inwards_by_no_more_than_allowed(corner: float, step: int) -> None:
    drawn = draw([["landmark"]], Training(batch=2), corner, seed=0, fold="0", step=step)
    assert drawn.corners.shape == (2, 2, 4, 3)
    assert ((drawn.corners >= 0) & (drawn.corners <= corner)).all()
