"""One step: what is learnt, what is counted, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from builders.training_cases import SPACING, case, settings
from tenter import losses, networks
from tenter.config import TrainSettings
from tenter.losses.inverse_consistency import inverse_consistency
from tenter.sampling.batches import Batch, apply
from tenter.sampling.draws import draw, outline
from tenter.spatial import warp
from tenter.training.step import Learner

CPU = torch.device("cpu")
TERMS = {
    "labels": [{"name": "dice", "weight": 3, "scales_mm": [2]}],
    "regularisers": [{"name": "bending", "weight": 7}],
}
CASES = [case("p0"), case("p1", "b"), case("p2", "c")]


def network(chosen: TrainSettings) -> nn.Module:
    torch.manual_seed(0)
    return networks.build(chosen.network, 2)


def batch(chosen: TrainSettings, step: int = 0) -> Batch:
    return apply(draw(outline(CASES, SPACING), chosen, fold="0", step=step), CASES, CPU)


def broken(good: Batch) -> Batch:
    return replace(good, moving=good.moving * torch.nan)


def weights(learner: Learner) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in learner.network.parameters()])


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    chosen = settings(losses=TERMS)
    learner, one = Learner(network(chosen), chosen, SPACING), batch(chosen)
    field = learner.network(one.moving, one.fixed)
    warped = warp.warp(one.moving_labels, field, padding="zeros")
    label = losses.label_loss(chosen.losses.labels[0], SPACING)(
        warped, one.fixed_labels, one.present.float()
    )
    learner.learn(one, 0)
    row = learner.means()
    assert row["dice"] == float(label.detach())
    assert abs(row["loss"] - row["dice_weighted"] - row["bending_weighted"]) < 1e-6
    assert row["dice_weighted"] == 3 * row["dice"]


def test_learning_lowers_the_loss_of_one_batch() -> None:
    chosen = settings(steps=40)
    learner, one = Learner(network(chosen), chosen, SPACING), batch(chosen)
    seen = []
    for step in range(40):
        learner.learn(one, step)
        seen.append(learner.means()["loss"])
    assert seen[-1] < seen[0] - 0.05


def test_means_are_over_the_steps_since_the_last_report() -> None:
    chosen = settings(learning_rate=1e-9)
    learner = Learner(network(chosen), chosen, SPACING)
    single = []
    for step in range(2):
        learner.learn(batch(chosen, step), step)
        single.append(learner.means()["loss"])
    for step in range(2):
        learner.learn(batch(chosen, step), step)
    assert abs(learner.means()["loss"] - sum(single) / 2) < 1e-5


def test_a_batch_that_is_not_finite_is_counted_and_teaches_nothing() -> None:
    chosen = settings(average=0.9)
    learner = Learner(network(chosen), chosen, SPACING)
    learner.learn(batch(chosen), 0)
    before, row = weights(learner), learner.means()
    learner.learn(broken(batch(chosen)), 1)
    assert torch.equal(weights(learner), before)
    assert row["skipped"] == 0
    assert learner.means() == {"skipped": 1.0}
    assert learner.failed_at() is None


def test_three_bad_steps_in_a_row_are_one_too_many() -> None:
    chosen = settings()
    learner, one = Learner(network(chosen), chosen, SPACING), batch(chosen)
    for step, bad in enumerate([True, True, False, True, True, True, False]):
        learner.learn(broken(one) if bad else one, step)
    assert learner.failed_at() == 5


def test_a_state_that_is_restored_goes_on_with_the_same_bits() -> None:
    chosen = settings(average=0.9, clip=1.0)
    whole, first = (Learner(network(chosen), chosen, SPACING) for _ in range(2))
    for step in range(4):
        whole.learn(batch(chosen, step), step)
    for step in range(2):
        first.learn(batch(chosen, step), step)
    second = Learner(networks.build(chosen.network, 2), chosen, SPACING)
    second.restore(first.state())
    for step in range(2, 4):
        second.learn(batch(chosen, step), step)
    states = [{**whole.model.state_dict()}, {**second.model.state_dict()}]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert whole.means() == second.means()


def gradients(learner: Learner) -> torch.Tensor:
    """The first gradient, of which Adam keeps a tenth."""
    moments = learner.state()["optimiser"]["state"].values()
    return torch.cat([10 * one["exp_avg"].flatten() for one in moments])


def test_a_batch_in_parts_teaches_what_the_whole_one_does() -> None:
    rows, moments = [], []
    for accumulate in (1, 2):
        chosen = settings(accumulate=accumulate)
        learner = Learner(network(chosen), chosen, SPACING)
        learner.learn(batch(chosen), 0)
        rows.append(learner.means())
        moments.append(gradients(learner))
    assert torch.allclose(moments[0], moments[1], atol=1e-6)
    assert float(moments[0].abs().max()) > 1e-3
    assert abs(rows[0]["loss"] - rows[1]["loss"]) < 1e-6


def test_one_bad_part_spoils_the_step() -> None:
    chosen = settings(accumulate=2)
    learner, one = Learner(network(chosen), chosen, SPACING), batch(chosen)
    before = weights(learner)
    learner.learn(
        replace(one, moving=one.moving * torch.tensor([1.0, torch.nan])[:, None, None, None, None]),
        0,
    )
    assert torch.equal(weights(learner), before)
    assert learner.means() == {"skipped": 1.0}


def test_half_precision_learns_and_keeps_losses_in_float32() -> None:
    chosen = settings(precision="bfloat16")
    learner = Learner(network(chosen), chosen, SPACING)
    before = weights(learner)
    learner.learn(batch(chosen), 0)
    assert not torch.equal(weights(learner), before)
    assert next(learner.network.parameters()).dtype == torch.float32


def test_inverse_consistency_runs_the_network_on_the_exchanged_images() -> None:
    terms = {"labels": [{"name": "dice"}], "regularisers": [{"name": "inverse_consistency"}]}
    chosen = settings(losses=terms)
    learner, one = Learner(network(chosen), chosen, SPACING), batch(chosen)
    for parameter in learner.network.parameters():  # away from the zero field that it begins with
        torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(0))
    fields = learner.network(one.moving, one.fixed), learner.network(one.fixed, one.moving)
    expected = inverse_consistency(fields[0].detach(), fields[1].detach(), SPACING)
    learner.learn(one, 0)
    assert expected > 0
    torch.testing.assert_close(learner.means()["inverse_consistency"], float(expected))
