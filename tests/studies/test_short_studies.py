"""Every loss, network and pairing learns: the loss falls,
and unseen patients are registered better.

Each case trains for seconds on one fold of a small simulated study, through the real stages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from builders.short_cohorts import COHORTS, Cohorts
from builders.short_study import SHAPE, Model
from tenter import config, networks
from tenter.config.alternatives import alternatives, names

LOSS_DROP = 0.015
"""Share of the loss that training began with by which it falls at least, on the same draws.

Small, as labels that are smoothed and landmarks that never meet keep most of it."""

TRE_SHARE = 0.95
"""Of the median TRE before registration, what may be left, in patients who were not seen."""

UNET = {"name": "unet", "channels": 4, "depth": 2}
KEYPOINT = {"name": "keypoint", "channels": 4, "points": 12}
LOCAL = {"name": "local", "channels": 2}
GLOBAL = {"name": "global", "channels": 4}
TIED = GLOBAL | {"parity": True, "finest": 0, "size": list(SHAPE)}
DICE = {"name": "dice", "scales_mm": [0, 3, 6, 12]}
BENDING = {"name": "bending"}


@dataclass(frozen=True)
class Case:
    """A short study.

    Attributes:
        name: what it is about.
        cohort: name of its cohort.
        network: in place of a small U-Net.
        losses: sections in place of those of `LOSSES`.
        training: keys in place of those of `TRAINING`.
        quick: whether `make check` runs it, too.
    """

    name: str
    cohort: str = "paired"
    network: Model = field(default_factory=lambda: UNET)
    losses: Model = field(default_factory=dict)
    training: Model = field(default_factory=dict)
    quick: bool = False

    @property
    def model(self) -> dict[str, Any]:
        """As a configuration has it."""
        return {
            "network": self.network,
            "losses": {"labels": [DICE], "regularisers": [BENDING], **self.losses},
            "training": {**TRAINING, **self.training},
            "validation": {"fraction": 0},
        }


TRAINING = {
    "steps": 150,
    "batch": 8,
    "learning_rate": 5e-3,
    "schedule": "cosine",
    "labels_per_pair": 3,
    "label_sampling": "balanced",
}


def label_case(name: str, cohort: str = "paired", /, network: Model = UNET, **term: object) -> Case:
    """Labels compared by one loss."""
    return Case(f"labels: {name}", cohort, network, losses={"labels": [term]})


def image_case(name: str, cohort: str, /, *, quick: bool = False, **term: object) -> Case:
    """Images compared by one loss; no label is read."""
    return Case(f"images: {name}", cohort, losses={"labels": [], "images": [term]}, quick=quick)


def regulariser_case(name: str, cohort: str = "paired", /, **term: object) -> Case:
    """Labels, and one term of the deformation."""
    return Case(f"regulariser: {name}", cohort, losses={"regularisers": [term]})


FORMS: dict[str, Model] = {
    "": {"scales_mm": [0, 3, 6, 12]},
    ", one scale": {"scales_mm": [4]},
    ", cauchy": {"scales_mm": [0, 3, 6, 12], "kernel": "cauchy"},
}
WEIGHTS = {"dice": 1, "jaccard": 1, "cross_entropy": 10, "mean_squared": 100}
GENTLY = {"learning_rate": 1e-3, "warmup": 10, "steps": 100}
AFFINE = {"learning_rate": 1e-3, "steps": 240}
TIGHTLY = {"learning_rate": 1e-4}

LABELS = [
    *(
        label_case(name + form, name=name, weight=weight, **keys)
        for name, weight in WEIGHTS.items()
        for form, keys in FORMS.items()
    ),
    # It weighs labels by their size, so that small landmarks, each patient's own,
    # would outweigh all else.
    *(
        label_case(f"generalised_dice{form}", "between", name="generalised_dice", **keys)
        for form, keys in FORMS.items()
    ),
    label_case("centroid", network=KEYPOINT, name="centroid", role_weights={"structure": 1}),
    label_case(
        "centroid, squared",
        network=KEYPOINT,
        name="centroid",
        norm="squared",
        role_weights={"structure": 1},
    ),
]
IMAGES = [
    image_case("ssd", "alike", name="ssd", weight=10),
    image_case("gncc", "alike", name="gncc", weight=2),
    image_case("gncc, signed", "alike", name="gncc", weight=2, signed=True),
    image_case("lncc", "alike", name="lncc", weight=2, window_mm=35, quick=True),
    image_case("lncc, gaussian", "alike", name="lncc", weight=2, window_mm=25, kernel="gaussian"),
    image_case("lncc, signed", "alike", name="lncc", weight=2, window_mm=35, signed=True),
    image_case("mutual_information", "unlike", name="mutual_information", weight=5),
    image_case(
        "mutual_information, in nats",
        "unlike",
        name="mutual_information",
        weight=5,
        normalised=False,
    ),
    image_case("mind", "unlike", name="mind", weight=10),
]
REGULARISERS = [
    regulariser_case("bending", name="bending"),
    regulariser_case("bending, in voxels", name="bending", units="voxel"),
    regulariser_case("gradient, l1", name="gradient", norm="l1", weight=0.05),
    regulariser_case("gradient, l2", name="gradient", norm="l2"),
    regulariser_case("folding", name="folding", margin=0.9),
    regulariser_case("folding, l2", name="folding", margin=0.9, norm="l2"),
    # The default weight is for long trainings: here it would keep the field at zero.
    regulariser_case("inverse_consistency", "alike", name="inverse_consistency", weight=0.001),
]
NETWORKS = [
    Case("network: unet", quick=True),
    Case("network: unet, velocity", network=UNET | {"output": "velocity"}),
    Case("network: unet, bspline", network=UNET | {"output": "bspline"}),
    Case("network: local", network=LOCAL, training=GENTLY),
    Case("network: local, velocity", network=LOCAL | {"output": "velocity"}, training=GENTLY),
    Case(
        "network: local, bspline",
        network=LOCAL | {"output": "bspline"},
        training=GENTLY | {"steps": 200},
    ),
    Case("network: local, parity", network=LOCAL | {"parity": True}, training=GENTLY),
    Case("network: global", network=GLOBAL, training=AFFINE),
    Case("network: global, parity", network=TIED, training=TIGHTLY),
    Case("network: keypoint", network=KEYPOINT, quick=True),
    Case("network: cascade", network={"name": "cascade", "factors": [2, 1], "network": UNET}),
    Case(
        "network: composite",
        network={"name": "composite", "first": GLOBAL, "second": UNET},
        quick=True,
    ),
    Case(
        "network: composite, keypoint",
        network={"name": "composite", "first": KEYPOINT, "second": UNET},
    ),
    Case(
        "network: composite, parity",
        network={
            "name": "composite",
            "parity": True,
            "first": TIED,
            "second": LOCAL | {"parity": True},
        },
        training=TIGHTLY,
    ),
]
BY_IMAGES = {"images": [{"name": "gncc"}]}
PAIRINGS = [
    Case("pairing: paired, partly labelled", "partly labelled"),
    Case("pairing: paired, partly labelled, by images too", "partly labelled", losses=BY_IMAGES),
    Case("pairing: subjects, all", "all"),
    Case("pairing: subjects, random", "random"),
    Case("pairing: subjects, within groups", "within"),
    Case("pairing: subjects, between groups", "between", quick=True),
    Case("pairing: subjects, mixed groups", "mixed"),
    Case("pairing: subjects, partly labelled", "partly labelled subjects"),
    Case("pairing: subjects, labels on one side only", "one-sided labels"),
]
CASES = [*LABELS, *IMAGES, *REGULARISERS, *NETWORKS, *PAIRINGS]


PARAMETERS = [
    pytest.param(case, marks=[] if case.quick else [pytest.mark.soak], id=case.name)
    for case in CASES
]


@pytest.mark.parametrize("case", PARAMETERS)
def test_the_loss_falls_and_unseen_patients_are_registered_better(
    case: Case, cohorts: Cohorts
) -> None:
    found = cohorts.study(case.cohort).learn(case.name, case.model)
    print(f"\n{case.name}: {found}")  # noqa: T201 - shown by `make soak`
    start, end = found.losses
    assert end < start - LOSS_DROP * abs(start)
    silent = [
        name
        for name, values in found.terms.items()
        if name.endswith("_weighted") and not any(values)
    ]
    assert silent == []
    before, after = found.tre_mm
    assert after < TRE_SHARE * before
    assert found.tested.isdisjoint(found.learnt)


def test_every_loss_network_and_cohort_has_a_case() -> None:
    models = [config.Model.model_validate(case.model) for case in CASES]
    used = {
        term.name
        for model in models
        for term in (*model.losses.labels, *model.losses.images, *model.losses.regularisers)
    }
    assert used == {name for kind in alternatives(config.Term) for name in names(kind)}
    assert {model.network.name for model in models} == networks.CLASSES.keys()
    assert {case.cohort for case in CASES} == COHORTS.keys()
