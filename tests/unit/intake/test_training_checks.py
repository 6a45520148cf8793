"""Which trainings cannot learn, and whether the advice helps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tenter.intake import training_checks
from tenter.intake.forecast import Forecast
from tenter.intake.integrity import Finding, Findings, uses
from tenter.records import Fault
from tenter.study import Study

NEEDS = Forecast(
    cases_bytes=0,
    models_bytes=0,
    fields_bytes={},
    free_bytes=1,
    training_hours=1.0,
    trainings=2,
    cores=2,
)
GOOD = {"steps": 300, "learning_rate": 1e-3}


def study(folder: Path, patients: int = 20, training: Any = None, **model: Any) -> Study:
    """A study of pairs that name labels; no file of it is there."""
    lines = ["pair\tpatient\tmoving_image\tfixed_image\tmoving_labels\tfixed_labels"]
    lines += [f"p{i}\tP{i}\tm{i}\tf{i}\tml{i}\tfl{i}" for i in range(patients)]
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    content = {
        "study": "s",
        "manifest": "manifest.tsv",
        "folds": {"count": 2},
        "models": {"base": {"training": training or GOOD, **model}},
        "runtime": {"device": "cpu"},
    }
    return Study.load(folder / "config.yaml", content)


def findings(made: Study) -> Findings:
    """Of labels alone, all of which show label 1."""
    finding = Finding(kind="labels", keys=(1,), sha256="x")
    return {
        use: finding
        for pair in made.cohort.pairs
        for use in uses(pair).values()
        if use[1] == "labels"
    }


def advice(made: Study, needs: Forecast = NEEDS) -> list[Fault]:
    found = findings(made)
    return list(training_checks.advice(made, found, training_checks.splits(made, found), needs))


@pytest.mark.parametrize(
    "training",
    [
        GOOD,
        {"steps": 10_000, "learning_rate": 1e-5},  # label-reg's own, the default
        {"steps": 2000, "learning_rate": 1e-3, "schedule": "cosine"},
        {"steps": 300, "learning_rate": 4e-3, "schedule": "cosine", "warmup": 50},
        {"steps": 1500, "learning_rate": 1e-4},
    ],
)
def test_settings_that_are_known_to_learn_are_not_talked_of(tmp_path: Path, training: Any) -> None:
    made = study(tmp_path, 60, training)
    assert [fault.message for fault in advice(made)] == []


@pytest.mark.parametrize(
    ("training", "moved"),
    [
        ({"steps": 50}, "0.0005"),
        ({"steps": 2000, "learning_rate": 1e-5}, "0.02"),
        ({"steps": 60, "learning_rate": 1e-3, "schedule": "cosine"}, "0.03"),
        ({"steps": 100, "learning_rate": 1e-3, "schedule": "steps", "decay_at": [10]}, "0.019"),
        ({"steps": 100, "learning_rate": 1e-3, "schedule": "exponential"}, "0.039"),
        ({"steps": 3, "learning_rate": 4e-3, "batch": 20}, "0.012"),
        ({"steps": 80, "learning_rate": 1e-3, "warmup": 79}, "0.041"),
    ],
)
def test_steps_and_rates_that_move_no_weight_are_warned_of_and_the_fix_helps(
    tmp_path: Path, training: Any, moved: str
) -> None:
    (fault,) = advice(study(tmp_path, 60, training))
    assert (fault.column, fault.severity) == ("models.base.training", "WARNING")
    assert f"move each weight by about {moved} at most: too little to learn" in fault.message
    changed: dict[str, Any] = {}
    if "learning_rate" in fault.fix:
        changed["learning_rate"] = 1e-3
    if "steps:" in fault.fix:
        changed["steps"] = int(fault.fix.rpartition("steps: ")[2].rstrip("`"))
    assert advice(study(tmp_path, 60, training | changed)) == []


def test_a_warm_start_needs_less(tmp_path: Path) -> None:
    assert advice(study(tmp_path, 60, {"steps": 50}, warm_start="../models")) == []


@pytest.mark.parametrize(
    ("patients", "fraction", "told"),
    [
        (20, 0.1, "validation is on a single pair in 2 of 2 trainings"),
        (8, 0.1, "validation is on a single pair in 2 of 2 trainings"),
        (20, 0.01, "validation is on a single pair in 2 of 2 trainings"),
        (2, 0.1, "validation is on no pair in 2 of 2 trainings"),
        (5, 0.2, "validation is on a single pair in 2 of 2 trainings"),
    ],
)
def test_validation_on_one_pair_is_warned_of_and_the_fix_helps(
    tmp_path: Path, patients: int, fraction: float, told: str
) -> None:
    (fault,) = advice(study(tmp_path, patients, validation={"fraction": fraction}))
    assert fault.column == "models.base.validation.fraction"
    assert fault.message.startswith(told)
    value = float(fault.fix.removeprefix("set it to ").partition(",")[0])
    assert advice(study(tmp_path, patients, validation={"fraction": value})) == []


@pytest.mark.parametrize("more", [{"keep": "best"}, {"patience": 3}])
def test_weights_chosen_by_one_pair_are_told(tmp_path: Path, more: dict[str, Any]) -> None:
    (fault,) = advice(study(tmp_path, validation={"fraction": 0.1, **more}))
    assert fault.message.endswith("and `keep` or `patience` depend on it")


@pytest.mark.parametrize("validation", [{"fraction": 0}, {"fraction": 0.2}, {"fraction": 0.5}])
def test_enough_validation_pairs_and_none_by_choice_are_welcome(
    tmp_path: Path, validation: Any
) -> None:
    assert advice(study(tmp_path, validation=validation)) == []


@pytest.mark.parametrize(
    ("patients", "steps", "batch", "least"),
    [(60, 5, 4, 7), (200, 20, 4, 23), (100, 10, 4, 12), (60, 1, 8, 4), (90, 40, 1, 41)],
)
def test_pairs_that_are_never_seen_are_told(
    tmp_path: Path, patients: int, steps: int, batch: int, least: int
) -> None:
    """Half of the patients less a tenth, rounded, are learnt from: 27, 90, 45, 27 and 41 pairs."""
    made = study(tmp_path, patients, {"steps": steps, "batch": batch, "learning_rate": 0.5})
    (fault,) = advice(made)
    assert fault.message.startswith(
        f"{steps} steps of {batch} pairs see at most {steps * batch} of "
    )
    assert f"at least `steps: {least}`" in fault.fix


@pytest.mark.parametrize(
    ("hours", "told"), [(30.0, "30 hours"), (120.0, "5 days"), (24.0, "24 hours")]
)
def test_days_without_a_gpu_are_warned_of(tmp_path: Path, hours: float, told: str) -> None:
    (fault,) = advice(study(tmp_path, 60), replace(NEEDS, training_hours=hours))
    assert fault.message == f"training takes about {told} without a GPU"
    assert "coarser `plan.spacing_mm`" in fault.fix


def test_hours_are_not_talked_of(tmp_path: Path) -> None:
    assert advice(study(tmp_path, 60), replace(NEEDS, training_hours=20.0)) == []


def test_each_models_numbers_are_told_together_where_they_are_equal(tmp_path: Path) -> None:
    made = study(tmp_path, 21, validation={"fraction": 0})
    found = training_checks.splits(made, findings(made))
    assert list(training_checks.lines(found)) == [
        "each fold's training: 10 to 11 pairs to learn from, none for validation"
    ]
    two = {**found, "other": [replace(split, validation=("x",)) for split in found["base"]]}
    assert list(training_checks.lines(two)) == [
        "each fold's training of base: 10 to 11 pairs to learn from, none for validation",
        "each fold's training of other: 10 to 11 pairs to learn from, 1 pair for validation",
    ]
