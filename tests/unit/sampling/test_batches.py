"""Batches: what is drawn how often, and that applying a draw adds no chance of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from builders.training_cases import SHAPE, SPACING, ball, box, case, settings
from tenter.records import Label, Role
from tenter.sampling.augmentation.recipe import Change
from tenter.sampling.batches import apply, warp_together
from tenter.sampling.cohort import Case, Side
from tenter.sampling.draws import Draw, Outline, draw, outline
from tenter.spatial import affine, warp

CPU = torch.device("cpu")
EVERYTHING: dict[str, Any] = {
    "affine": 0.1,
    "mirror": True,
    "pose": {"rotation_deg": 5, "translation_mm": 1},
    "deformation": {"amplitude_mm": 1, "spacing_mm": 6},
    "intensity": {"moving": {"gamma": 0.3, "noise": 0.1}, "fixed": {"blur_mm": 1, "gain": 0.2}},
}


BOTH: tuple[Role, ...] = ("structure", "landmark")
ONE: tuple[Role, ...] = ("landmark",)


def cohort_of(*roles: tuple[Role, ...]) -> Outline:
    labels = [
        tuple(Label(f"label-{key}", key, role) for key, role in enumerate(each)) for each in roles
    ]
    return Outline(tuple(labels), (1, 1), SHAPE, SPACING)


def still(pairs: tuple[int, ...], labels: tuple[tuple[int, ...], ...], **changed: Any) -> Draw:
    plain = Draw(
        0, pairs, pairs, labels, (False,) * len(pairs), (labels, labels), (Change(), Change())
    )
    return replace(plain, **changed)


def test_a_draw_is_the_same_on_every_machine_and_version() -> None:
    chosen = settings(batch=3, seed=7)
    drawn = draw(cohort_of(*[BOTH] * 5), chosen, fold="2", step=11)
    assert drawn.pairs == (1, 0, 4)
    assert drawn.labels == ((1,), (1,), (0,))
    assert drawn.changes[0].corners is not None
    assert drawn.changes[0].corners[0, 0].round(6).tolist() == [0.003619, 0.027282, 0.069083]


def labels_drawn(sampled: Literal["uniform", "balanced"], roles: tuple[Role, ...]) -> list[int]:
    chosen = settings(batch=4, label_sampling=sampled)
    steps = (draw(cohort_of(*[roles] * 4), chosen, fold="0", step=step) for step in range(600))
    return [labels[0] for drawn in steps for labels in drawn.labels]


def test_uniform_sampling_draws_every_label_alike() -> None:
    counts = Counter(labels_drawn("uniform", ("structure", "landmark", "landmark", "landmark")))
    assert chisquare([counts[index] for index in range(4)]).pvalue > 0.01


def test_balanced_sampling_draws_the_role_first() -> None:
    counts = Counter(labels_drawn("balanced", ("structure", "landmark", "landmark", "landmark")))
    assert chisquare([counts[index] for index in range(4)], [1200, 400, 400, 400]).pvalue > 0.01


def test_all_labels_are_all_labels_of_each_pair() -> None:
    cohort = cohort_of(("structure",), ("structure", "landmark", "landmark"))
    drawn = draw(cohort, settings(labels_per_pair="all"), fold="0", step=0)
    assert {
        pair: sorted(labels) for pair, labels in zip(drawn.pairs, drawn.labels, strict=True)
    } == {
        0: [0],
        1: [0, 1, 2],
    }


def test_both_sides_and_all_pairs_move_independently() -> None:
    cohort = cohort_of(*[ONE] * 2)
    steps = [draw(cohort, settings(batch=2), fold="0", step=step).changes for step in range(400)]
    moves = np.stack(
        [
            np.stack([side.corners for side in sides if side.corners is not None]).ravel()
            for sides in steps
        ]
    )
    correlation = np.corrcoef(moves.T) - np.eye(48)
    assert abs(correlation).max() < 0.25
    assert moves.mean() == pytest.approx(0.05, abs=0.001)


def crossed(cohort: Outline, share: float, **changed: Any) -> list[Draw]:
    chosen = settings(batch=4, labels_per_pair="all", augmentation={"across": share}, **changed)
    return [draw(cohort, chosen, fold="0", step=step) for step in range(200)]


def test_as_many_samples_as_asked_for_have_another_pairs_fixed_side() -> None:
    steps = crossed(cohort_of(*[BOTH] * 40), 0.25)
    samples = [pair for drawn in steps for pair in zip(drawn.pairs, drawn.partners, strict=True)]
    assert 0.2 < np.mean([pair != partner for pair, partner in samples]) < 0.3
    assert len({partner for _, partner in samples}) == 40
    assert all(drawn.partners == drawn.pairs for drawn in crossed(cohort_of(*[BOTH] * 40), 0.0))


def test_of_two_pairs_only_structures_that_both_have_are_compared() -> None:
    gland, bladder = Label("gland", 0, "structure"), Label("bladder", 1, "structure")
    apex = Label("apex", 2, "landmark")
    cohort = Outline(
        ((apex, bladder, gland), (gland, apex), (bladder,), (apex,)), (1, 1), SHAPE, SPACING
    )
    expected = {
        (0, 1): ((2,), (0,)), (1, 0): ((0,), (2,)), (0, 2): ((1,), (0,)), (2, 0): ((0,), (1,)),
    }  # fmt: skip
    seen = set()
    for drawn in crossed(cohort, 1.0):
        assert drawn.labels == drawn.sources[0] or any(drawn.mirrored)
        for pair, partner, moving, fixed in zip(
            drawn.pairs, drawn.partners, *drawn.sources, strict=True
        ):
            if pair == partner:
                assert moving == fixed
                assert len(moving) == len(cohort.labels[pair])
            else:
                assert (moving, fixed) == expected[pair, partner]
                seen.add((pair, partner))
    assert seen == set(expected)


def test_a_crossed_sample_holds_one_pairs_moving_and_the_others_fixed_side() -> None:
    cohort = [case("p0"), case("p1", roles=("landmark", "structure"))]
    drawn = still((0,), ((0,),), partners=(1,), sources=(((0,),), ((1,),)))
    batch = apply(drawn, cohort, CPU)
    assert torch.equal(batch.moving[0], cohort[0].images[0])
    assert torch.equal(batch.fixed[0], cohort[1].images[1])
    assert torch.equal(batch.moving_labels[0, 0], pasted(cohort[0], "moving", 0))
    assert torch.equal(batch.fixed_labels[0, 0], pasted(cohort[1], "fixed", 1))
    assert batch.structures.tolist() == [[True]]


def pasted(one: Case, side: Side, position: int) -> torch.Tensor:
    target = torch.zeros(1, *SHAPE)
    one.paste(side, (position,), target)
    return target[0]


def test_other_folds_seeds_and_steps_draw_something_else() -> None:
    cohort = cohort_of(*[ONE] * 9)
    keys = [(0, "0", 0), (1, "0", 0), (0, "1", 0), (0, "0", 1)]
    drawn = [
        draw(cohort, settings(seed=seed), fold=fold, step=step).changes[0]
        for seed, fold, step in keys
    ]
    assert len({item.corners.tobytes() for item in drawn if item.corners is not None}) == 4


def test_an_unmoved_batch_holds_the_cases_themselves() -> None:
    cohort = [case("p0"), case("p1"), case("p2")]
    batch = apply(still((2, 0), ((1,), (0,))), cohort, CPU)
    assert torch.equal(batch.moving[0], cohort[2].images[0])
    assert torch.equal(batch.fixed[1], cohort[0].images[1])
    expected = cohort[2].boxes[1][1].values.float() / 255
    assert torch.equal(batch.fixed_labels[0, 0], expected)


def test_a_pair_with_fewer_labels_is_filled_up_and_marked() -> None:
    cohort = [case("p0", roles=("structure",)), case("p1")]
    batch = apply(still((0, 1), ((0,), (1, 0))), cohort, CPU)
    assert batch.present.tolist() == [[True, False], [True, True]]
    assert batch.structures.tolist() == [[True, False], [False, True]]
    assert not batch.moving_labels[0, 1].any()
    assert batch.moving_labels[1, 1].any()


def test_pairs_without_labels_may_be_drawn() -> None:
    cohort = [case("p0", roles=("structure",)), replace(case("p1"), labels=(), boxes=())]
    for cases in (cohort, cohort[1:]):
        chosen = settings(batch=2, labels_per_pair=2, augmentation=EVERYTHING)
        drawn = draw(outline(cases, SPACING), chosen, fold="0", step=0)
        batch = apply(drawn, cases, CPU)
        assert batch.moving.shape == (2, 1, *SHAPE)
        assert int(batch.present.sum()) == len(cases) - 1


def test_a_mirrored_pair_is_flipped_on_both_sides_with_its_labels() -> None:
    cohort = [case("p0"), case("p1")]
    plain = apply(still((0, 1), ((0,), (1,))), cohort, CPU)
    batch = apply(still((0, 1), ((0,), (1,)), mirrored=(False, True)), cohort, CPU)
    for name in ("moving", "fixed", "moving_labels", "fixed_labels"):
        before, after = getattr(plain, name), getattr(batch, name)
        assert torch.equal(after[0], before[0])
        assert torch.equal(after[1], before[1].flip(1))
        assert not torch.equal(after[1], before[1])


LEFT, RIGHT, MIDDLE = (
    Label(name, key, "structure") for key, name in enumerate(("left", "right", "middle"))
)
TWINS = (("left", "right"),)


def mirrored_draws(*labels: Label) -> list[Draw]:
    """Draws of a cohort of one pair, half of them mirrored."""
    cohort = Outline((labels,), (1, 1), SHAPE, SPACING)
    chosen = settings(batch=1, augmentation={"mirror": True}, labels_per_pair="all", twins=TWINS)
    return [draw(cohort, chosen, fold="0", step=step) for step in range(100)]


def test_half_of_the_samples_are_mirrored() -> None:
    assert 35 <= sum(drawn.mirrored[0] for drawn in mirrored_draws(LEFT)) <= 65


def test_labels_of_mirrored_samples_change_places_with_their_twins() -> None:
    for drawn in mirrored_draws(LEFT, RIGHT, MIDDLE):
        assert drawn.sources[0] == drawn.sources[1]
        turned = dict(zip(drawn.labels[0], drawn.sources[0][0], strict=True))
        assert turned == ({0: 1, 1: 0, 2: 2} if drawn.mirrored[0] else {0: 0, 1: 1, 2: 2})


def test_a_label_whose_twin_the_pair_lacks_stands_for_itself() -> None:
    assert {drawn.sources for drawn in mirrored_draws(LEFT)} == {(((0,),), ((0,),))}


def test_a_mirrored_label_holds_its_twins_voxels_flipped() -> None:
    cohort = [case("p0", roles=("structure", "structure"))]
    batch = apply(
        still((0,), ((0, 1),), mirrored=(True,), sources=(((1, 0),), ((1, 0),))), cohort, CPU
    )
    twin = cohort[0].boxes[1][0].values.float() / 255
    assert torch.equal(batch.moving_labels[0, 0], twin.flip(0))


def test_parts_of_a_batch_are_the_batch() -> None:
    cohort = [case(f"p{index}") for index in range(4)]
    batch = apply(still((0, 1, 2, 3), ((0,), (1,), (0,), (1,))), cohort, CPU)
    parts = batch.parts(2)
    assert [part.moving.shape[0] for part in parts] == [2, 2]
    assert torch.equal(torch.cat([part.fixed_labels for part in parts]), batch.fixed_labels)
    assert torch.equal(torch.cat([part.structures for part in parts]), batch.structures)


def test_a_share_of_a_batch_is_that_part_of_the_whole() -> None:
    chosen = settings(batch=3, augmentation=EVERYTHING)
    cases = [case("p0"), case("p1", "b", ONE), case("p2", "c")]
    drawn = draw(outline(cases, SPACING), chosen, fold="0", step=1)
    whole, share = apply(drawn, cases, CPU), apply(drawn.of([2, 0]), cases, CPU)
    for name in ("moving", "fixed", "moving_labels", "fixed_labels", "present", "structures"):
        torch.testing.assert_close(
            getattr(share, name), getattr(whole, name)[[2, 0]], rtol=0, atol=1e-5
        )


def test_one_pass_equals_two_with_their_own_paddings() -> None:
    torch.manual_seed(0)
    image, labels = torch.rand(2, 2, *SHAPE), torch.rand(2, 3, *SHAPE)
    field = 3 * torch.randn(2, 3, *SHAPE)
    together = warp_together(image, labels, field)
    assert torch.allclose(together[0], warp.warp(image, field, padding="border"), atol=2e-5)
    assert torch.allclose(together[1], warp.warp(labels, field, padding="zeros"), atol=2e-5)


def test_image_and_label_lie_under_the_map_that_the_corners_tell() -> None:
    corners = np.random.default_rng(0).uniform(0, 0.1, (2, 4, 3))
    cohort = [case("p0"), case("p1")]
    batch = apply(
        still((0, 1), ((0,), (0,)), changes=(Change(), Change(corners=corners))), cohort, CPU
    )
    field = affine.displacement(affine.corner_affine(torch.from_numpy(corners)).float(), SHAPE)
    images = torch.stack([item.images[1] for item in cohort])
    assert torch.allclose(batch.fixed, warp.warp(images, field), atol=1e-5)
    assert not torch.allclose(batch.fixed, images, atol=1e-2)


def shown(name: str) -> Case:
    """A case whose images are its first label, away from the border, where paddings differ."""
    made = case(name)
    pictures = ball((5.0, 6.5, 4.0), 2.0), ball((4.0, 5.0, 3.5), 2.0)
    first = box(pictures[0]), box(pictures[1])
    images = pictures[0][None].float(), pictures[1][None].float()
    return replace(made, images=images, boxes=(first, *made.boxes[1:]))


def test_an_image_and_its_label_stay_aligned_under_everything() -> None:
    cohort = [shown("p0"), shown("p1")]
    chosen = settings(batch=2, augmentation=EVERYTHING | {"intensity": {}})
    for step in range(5):
        first = ((0,), (0,))
        made = draw(outline(cohort, SPACING), chosen, fold="0", step=step)
        drawn = replace(made, labels=first, sources=(first, first))
        batch = apply(drawn, cohort, CPU)
        for image, label in (
            (batch.moving, batch.moving_labels),
            (batch.fixed, batch.fixed_labels),
        ):
            assert float(label.max()) > 0.5
            assert torch.allclose(image, label, atol=1e-5)


def test_intensities_change_no_label() -> None:
    cohort = [case("p0"), case("p1")]
    batches = []
    for intensity in (None, EVERYTHING["intensity"]):
        chosen = settings(batch=2, augmentation=EVERYTHING | {"intensity": intensity or {}})
        batches.append(apply(draw(outline(cohort, SPACING), chosen, fold="0", step=1), cohort, CPU))
    assert torch.equal(batches[0].moving_labels, batches[1].moving_labels)
    assert not torch.allclose(batches[0].moving, batches[1].moving, atol=1e-2)
    assert not torch.allclose(batches[0].fixed, batches[1].fixed, atol=1e-2)


def test_applying_twice_gives_the_same_bits() -> None:
    cohort = [case(f"p{index}") for index in range(4)]
    drawn = draw(
        outline(cohort, SPACING), settings(batch=3, augmentation=EVERYTHING), fold="0", step=5
    )
    first, second = (apply(drawn, cohort, CPU) for _ in range(2))
    assert torch.equal(first.moving, second.moving)
    assert torch.equal(first.moving_labels, second.moving_labels)


def test_no_generator_is_touched() -> None:
    # The global generator is meant.
    before = torch.get_rng_state(), str(np.random.get_state())  # noqa: NPY002
    cohort = [case("p0")]
    apply(
        draw(outline(cohort, SPACING), settings(augmentation=EVERYTHING), fold="0", step=0),
        cohort,
        CPU,
    )
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == str(np.random.get_state())  # noqa: NPY002 - likewise
