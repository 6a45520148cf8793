"""Twenty steps in float64 by the processes that torchrun starts, and what is left of them.

torchrun --standalone --nproc-per-node 2 tests/shared_steps.py FOLDER
"""

from __future__ import annotations

import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from builders.training_cases import SPACING, case, settings
from tenter import networks
from tenter.sampling import batches
from tenter.sampling.batches import Batch
from tenter.sampling.draws import draw, outline
from tenter.training.step import Learner
from tenter.training.team import ALONE, Team, joined

STEPS = 20
CPU = torch.device("cpu")
WITHOUT = replace(case("p3", "d"), labels=(), boxes=())
CASES = [case("p0"), case("p1", "b", ("structure",)), WITHOUT, case("p2", "c", ("structure",) * 3)]
COMMON: dict[str, Any] = {"batch": 4, "labels_per_pair": "all", "average": 0.9}
KINDS: dict[str, dict[str, Any]] = {
    "labels": COMMON
    | {
        "augmentation": {"affine": 0.5, "intensity": {"moving": {"noise": 0.1, "gain": 0.2}}},
        "losses": {
            "labels": [
                {"name": "dice", "scales_mm": [0, 4], "role_weights": {"landmark": 0}},
                {"name": "generalised_dice"},
                {"name": "centroid"},
                {"name": "jaccard"},
            ],
            "regularisers": [{"name": "bending", "weight": 0.5}],
        },
    },
    "bare shares": COMMON
    | {"batch": 2, "losses": {"labels": [{"name": "dice"}], "regularisers": []}},
    "parts": COMMON | {"accumulate": 2, "clip": 0.1},
    "images": COMMON
    | {
        "network": {"name": "composite", "second": {"name": "unet", "channels": 2, "depth": 1}},
        "losses": {
            "labels": [{"name": "dice"}],
            "images": [{"name": "lncc"}],
            "regularisers": [{"name": "folding"}, {"name": "inverse_consistency"}],
        },
    },
}
"""Pairs with none to three labels, so that one share of a batch has more than another."""


def exact(batch: Batch) -> Batch:
    values: dict[str, Tensor] = {field.name: getattr(batch, field.name) for field in fields(batch)}
    doubled = {name: value.double() for name, value in values.items() if value.is_floating_point()}
    return replace(batch, **doubled)


def learnt(kind: str, team: Team = ALONE) -> dict[str, Any]:
    """What a training is after its steps: weights, and the mean figures."""
    chosen = settings(**KINDS[kind], steps=STEPS)
    torch.manual_seed(0)
    network = networks.build(chosen.network, 2).double()
    learner = Learner(network, chosen, SPACING, team=team)
    shares = team.shares(chosen.training)
    for step in range(STEPS):
        drawn = draw(outline(CASES, SPACING), chosen, fold="0", step=step).of(shares)
        learner.learn(exact(batches.apply(drawn, CASES, CPU)), step)
    return {"weights": learner.network.state_dict(), "figures": learner.means()}


def main() -> int:
    torch.set_num_threads(1)
    with joined(CPU) as (team, _):
        for kind in KINDS:
            left = learnt(kind, team)
            torch.save(left, Path(sys.argv[1], f"{kind}-{team.rank}.pt"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
