"""One step: what is learnt, what is counted, and what is refused."""

from __future__ import annotations

import torch
from torch import nn

from learning import SPACING, case, settings
from tenter import losses, networks
from tenter.config import TrainSettings
from tenter.data.sampling import Batch, apply, draw
from tenter.spatial import warp
from tenter.training.step import Learner, term_names

CPU = torch.device("cpu")
CASES = [case("p0"), case("p1", "b"), case("p2", "c")]


def network(chosen: TrainSettings) -> nn.Module:
    torch.manual_seed(0)
    return networks.build(chosen.network, 2)


def batch(chosen: TrainSettings, step: int = 0) -> Batch:
    roles = [item.roles for item in CASES]
    return apply(draw(roles, chosen.training, 0.1, seed=1, fold="0", step=step), CASES, CPU)


def broken(good: Batch) -> Batch:
    return Batch(good.moving * torch.nan, good.fixed, good.moving_labels, good.fixed_labels, good.present)


def weights(learner: Learner) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in learner.network.parameters()])


def test_the_loss_is_the_weighted_sum_of_its_terms() -> None:
    chosen = settings(losses={"label": {"weight": 3, "scales_mm": [2]}, "regularisers": [{"weight": 7}]})
    learner, one = Learner(network(chosen), chosen, SPACING), batch(chosen)
    field = learner.network(one.moving, one.fixed)
    warped = warp.warp(one.moving_labels, field, padding="zeros")
    label = losses.label_loss(chosen.losses.label, SPACING)(warped, one.fixed_labels, one.present)
    learner.learn(one, 0)
    row = learner.means()
    assert row["label"] == float(label.detach())
    assert abs(row["loss"] - row["label_weighted"] - row["bending_weighted"]) < 1e-6
    assert row["label_weighted"] == 3 * row["label"]


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


def test_half_precision_learns_and_keeps_losses_in_float32() -> None:
    chosen = settings(precision="bfloat16")
    learner = Learner(network(chosen), chosen, SPACING)
    before = weights(learner)
    learner.learn(batch(chosen), 0)
    assert not torch.equal(weights(learner), before)
    assert next(learner.network.parameters()).dtype == torch.float32


def test_terms_of_one_name_are_numbered() -> None:
    terms = [{"name": "bending"}, {"name": "gradient"}, {"name": "bending"}]
    assert term_names(settings(losses={"regularisers": terms})) == [
        "label",
        "bending",
        "gradient",
        "bending-2",
    ]
