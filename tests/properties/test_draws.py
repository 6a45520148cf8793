"""Laws of drawing: nothing is remembered, everyone gets a turn, nothing is drawn twice."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal, get_args

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as some

from builders.training_cases import SHAPE, SPACING
from builders.training_cases import settings as chosen
from tenter.records import Label, Role
from tenter.sampling.draws import Draw, Outline, draw

Sampling = Literal["uniform", "balanced"]
ROLES = some.lists(
    some.lists(some.sampled_from(("structure", "landmark")), min_size=1, max_size=5),
    min_size=1,
    max_size=12,
)
BATCHES = some.integers(1, 6)
STEPS = some.integers(0, 10_000)


def drawn(roles: list[list[Role]], step: int, fold: str = "0", **changed: Any) -> Draw:
    labels = [
        tuple(Label(f"label-{key}", key, role) for key, role in enumerate(each)) for each in roles
    ]
    return draw(
        Outline(tuple(labels), (1, 1), SHAPE, SPACING), chosen(**changed), fold=fold, step=step
    )


def corners(one: Draw) -> list[float]:
    return [
        move
        for side in one.changes
        if side.corners is not None
        for move in side.corners.ravel().tolist()
    ]


@given(
    roles=ROLES, batch=BATCHES, step=STEPS, seed=some.integers(0, 2**40), fold=some.text(max_size=4)
)
@settings(max_examples=60, deadline=None)
def test_equal_arguments_give_equal_draws(
    roles: list[list[Role]], batch: int, step: int, seed: int, fold: str
) -> None:
    key: dict[str, Any] = {"batch": batch, "labels_per_pair": 2, "seed": seed}
    first = drawn(roles, step, fold, **key)
    np.random.default_rng(0).random(100)
    drawn(roles, step + 1, fold, **key)
    second = drawn(roles, step, fold, **key)
    assert first.pairs == second.pairs
    assert first.labels == second.labels
    assert corners(first) == corners(second) != []


@given(roles=ROLES, batch=BATCHES, step=STEPS)
@settings(max_examples=60, deadline=None)
def test_pairs_of_a_batch_are_distinct_where_there_are_enough(
    roles: list[list[Role]], batch: int, step: int
) -> None:
    pairs = drawn(roles, step, batch=batch).pairs
    assert len(pairs) == batch
    assert len(set(pairs)) == min(batch, len(roles))


@given(count=some.integers(1, 12), batch=BATCHES, number=some.integers(0, 50))
@settings(max_examples=60, deadline=None)
def test_a_pass_shows_no_pair_twice_and_drops_less_than_a_batch(
    count: int, batch: int, number: int
) -> None:
    batch = min(batch, count)
    steps = count // batch
    roles: list[list[Role]] = [["landmark"]] * count
    turn = range(number * steps, (number + 1) * steps)
    pairs = [pair for step in turn for pair in drawn(roles, step, "1", batch=batch).pairs]
    assert max(Counter(pairs).values()) == 1
    assert len(pairs) > count - batch


@given(
    roles=ROLES, wanted=some.integers(1, 6), how=some.sampled_from(get_args(Sampling)), step=STEPS
)
@settings(max_examples=60, deadline=None)
def test_labels_are_a_pairs_own_distinct_and_as_many_as_wanted(
    roles: list[list[Role]], wanted: int, how: Sampling, step: int
) -> None:
    made = drawn(roles, step, batch=3, labels_per_pair=wanted, label_sampling=how)
    for pair, labels in zip(made.pairs, made.labels, strict=True):
        assert len(labels) == len(set(labels)) == min(wanted, len(roles[pair]))
        assert all(0 <= label < len(roles[pair]) for label in labels)


@given(corner=some.floats(0.0, 0.99), step=STEPS)
@settings(max_examples=40, deadline=None)
def test_corners_move_inwards_by_no_more_than_allowed(corner: float, step: int) -> None:
    moves = corners(drawn([["landmark"]], step, batch=2, augmentation={"affine": corner}))
    assert len(moves) == (48 if corner else 0)
    assert all(0 <= move <= corner for move in moves)
