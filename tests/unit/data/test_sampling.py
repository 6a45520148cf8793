"""Batches: what is drawn how often, and that applying a draw adds no chance of its own."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from learning import SHAPE, case
from tenter.config import Training
from tenter.data.sampling import Draw, apply, draw, warp_together
from tenter.records import Role
from tenter.spatial import affine, warp

CPU = torch.device("cpu")
STILL = np.zeros((2, 2, 4, 3))


def test_a_draw_is_the_same_on_every_machine_and_version() -> None:
    drawn = draw([["structure", "landmark"]] * 5, Training(batch=3), 0.1, seed=7, fold="2", step=11)
    assert drawn.pairs == (1, 0, 4)
    assert drawn.labels == ((1,), (1,), (0,))
    assert drawn.corners[0, 0, 0].round(6).tolist() == [0.003619, 0.027282, 0.069083]


def labels_drawn(sampled: Literal["uniform", "balanced"], roles: tuple[Role, ...]) -> list[int]:
    training = Training(batch=4, label_sampling=sampled)
    steps = (draw([roles] * 4, training, 0.1, seed=0, fold="0", step=step) for step in range(600))
    return [labels[0] for drawn in steps for labels in drawn.labels]


def test_uniform_sampling_draws_every_label_alike() -> None:
    counts = Counter(labels_drawn("uniform", ("structure", "landmark", "landmark", "landmark")))
    assert chisquare([counts[index] for index in range(4)]).pvalue > 0.01


def test_balanced_sampling_draws_the_role_first() -> None:
    counts = Counter(labels_drawn("balanced", ("structure", "landmark", "landmark", "landmark")))
    assert chisquare([counts[index] for index in range(4)], [1200, 400, 400, 400]).pvalue > 0.01


def test_both_sides_and_all_pairs_move_independently() -> None:
    steps = [
        draw([["landmark"]] * 2, Training(batch=2), 0.1, seed=0, fold="0", step=step) for step in range(400)
    ]
    moves = np.stack([drawn.corners.ravel() for drawn in steps])
    correlation = np.corrcoef(moves.T) - np.eye(48)
    assert abs(correlation).max() < 0.25
    assert moves.mean() == pytest.approx(0.05, abs=0.001)


def test_other_folds_seeds_and_steps_draw_something_else() -> None:
    roles: list[list[Role]] = [["landmark"]] * 9
    keys = [(0, "0", 0), (1, "0", 0), (0, "1", 0), (0, "0", 1)]
    drawn = [
        draw(roles, Training(batch=2), 0.1, seed=seed, fold=fold, step=step) for seed, fold, step in keys
    ]
    assert len({item.corners.tobytes() for item in drawn}) == 4


def test_an_unmoved_batch_holds_the_cases_themselves() -> None:
    cohort = [case("p0"), case("p1"), case("p2")]
    batch = apply(Draw(0, (2, 0), ((1,), (0,)), STILL), cohort, CPU)
    assert torch.equal(batch.moving[0], cohort[2].images[0])
    assert torch.equal(batch.fixed[1], cohort[0].images[1])
    expected = cohort[2].boxes[1][1].values.float() / 255
    assert torch.equal(batch.fixed_labels[0, 0], expected)


def test_a_pair_with_fewer_labels_is_filled_up_and_marked() -> None:
    cohort = [case("p0", roles=("structure",)), case("p1")]
    batch = apply(Draw(0, (0, 1), ((0,), (1, 0)), STILL), cohort, CPU)
    assert batch.present.tolist() == [[True, False], [True, True]]
    assert not batch.moving_labels[0, 1].any()
    assert batch.moving_labels[1, 1].any()


def test_one_pass_equals_two_with_their_own_paddings() -> None:
    torch.manual_seed(0)
    image, labels = torch.rand(2, 2, *SHAPE), torch.rand(2, 3, *SHAPE)
    field = 3 * torch.randn(2, 3, *SHAPE)
    together = warp_together(image, labels, field)
    assert torch.allclose(together[0], warp.warp(image, field, padding="border"), atol=2e-5)
    assert torch.allclose(together[1], warp.warp(labels, field, padding="zeros"), atol=2e-5)


def test_image_and_label_lie_under_the_map_that_the_corners_tell() -> None:
    corners = np.random.default_rng(0).uniform(0, 0.1, (2, 2, 4, 3))
    cohort = [case("p0"), case("p1")]
    batch = apply(Draw(0, (0, 1), ((0,), (0,)), corners), cohort, CPU)
    maps = affine.corner_affine(torch.from_numpy(corners[1])).float()
    field = affine.displacement(maps, SHAPE)
    images = torch.stack([item.images[1] for item in cohort])
    assert torch.allclose(batch.fixed, warp.warp(images, field), atol=1e-5)
    assert not torch.allclose(batch.fixed, images, atol=1e-2)


def test_applying_twice_gives_the_same_bits() -> None:
    cohort = [case(f"p{index}") for index in range(4)]
    drawn = draw([item.roles for item in cohort], Training(batch=3), 0.1, seed=0, fold="0", step=5)
    first, second = (apply(drawn, cohort, CPU) for _ in range(2))
    assert torch.equal(first.moving, second.moving)
    assert torch.equal(first.moving_labels, second.moving_labels)


def test_no_generator_is_touched() -> None:
    before = torch.get_rng_state(), str(np.random.get_state())  # noqa: NPY002 - the global one is meant
    cohort = [case("p0")]
    apply(draw([cohort[0].roles], Training(), 0.1, seed=0, fold="0", step=0), cohort, CPU)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == str(np.random.get_state())  # noqa: NPY002 - likewise
