from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tenter import config
from tenter.config import reference
from tenter.errors import InputError

ROOT = Path(__file__).parents[3]


def study(**keys: Any) -> dict[str, Any]:
    return {"study": "s", "manifest": "m.tsv", "models": {"a": {}}} | keys


def trained(**training: Any) -> dict[str, Any]:
    return study(models={"a": {"training": training}})


def augmented(**augmentation: Any) -> dict[str, Any]:
    return study(models={"a": {"augmentation": augmentation}})


def watched(**validation: Any) -> dict[str, Any]:
    return study(models={"a": {"validation": validation}})


def twins(left: str | None, right: str | None, middle: str | None) -> dict[str, Any]:
    """Three named labels, each with the mirror that it names."""
    mirrors = {"left": left, "right": right, "middle": middle}
    names = [
        {"name": name, "key": key} | ({"mirror": mirror} if mirror else {})
        for key, (name, mirror) in enumerate(mirrors.items(), start=1)
    ]
    return {"names": names}


def complaint(content: object) -> str:
    with pytest.raises(InputError) as caught:
        config.parse(content, Path("c.yaml"))
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (study(fold={"count": 3}), "fold: unknown key; did you mean 'folds'?"),
        (study(folds={"count": 1}), "folds.count: is 1; use a whole number from 2 to 100"),
        (
            study(models={"a": {"training": {"learning_rate": -1}}}),
            "models.a.training.learning_rate",
        ),
        (study(models={"a": {"training": {"steps": 0}}}), "models.a.training.steps"),
        (study(models={"a": {"training": {"batch": "four"}}}), "models.a.training.batch"),
        (study(models={"a/b": {}}), "models.a/b"),
        (trained(warmup=9, steps=9), "models.a.training: `warmup`"),
        (trained(schedule="steps"), "models.a.training: `decay_at`"),
        (trained(decay_at=[5]), "models.a.training: `decay_at`"),
        (trained(schedule="steps", decay_at=[5, 3]), "models.a.training: `decay_at`"),
        (trained(schedule="steps", decay_at=[5, 10_000]), "models.a.training: `decay_at`"),
        (trained(decay=1.5), "models.a.training.decay"),
        (
            trained(batch=4, accumulate=3),
            "models.a.training: a batch of 4 pairs cannot be divided into 3",
        ),
        (trained(labels_per_pair="some"), "models.a.training.labels_per_pair"),
        (augmented(deformation={"amplitude_mm": 5, "spacing_mm": 10}), "augmentation.deformation"),
        (augmented(deformation={"amplitude_mm": 5}), "augmentation.deformation.spacing_mm"),
        (augmented(pose={"rotation_deg": 200}), "models.a.augmentation.pose.rotation_deg"),
        (augmented(pose={"shear": 1}), "models.a.augmentation.pose.shear"),
        (augmented(intensity={"moving": {"gamma": -1}}), "augmentation.intensity.moving.gamma"),
        (
            augmented(intensity={"fixed": {"bias": {"amplitude": 1}}}),
            "intensity.fixed.bias.spacing_mm",
        ),
        (augmented(mirror="maybe"), "models.a.augmentation.mirror"),
        (watched(fraction=0, keep="best"), "models.a.validation: `keep: best`"),
        (watched(fraction=0, patience=2), "models.a.validation: `keep: best`"),
        (watched(patience=0), "models.a.validation.patience"),
        (watched(measure="dice_loss"), "models.a.validation.measure"),
        (study(labels=twins("right", None, "gland")), "labels: names: 'middle' has the mirror"),
        (study(labels=twins("left", None, None)), "labels: names: 'left' has the mirror"),
        (study(labels=twins("right", "middle", "right")), "would have more than one mirror"),
        (
            study(labels={"names": [{"name": "a", "key": 1}, {"name": "a", "key": 2}]}),
            "two labels have the name 'a'",
        ),
        (
            study(labels={"names": [{"name": "a", "key": 1}, {"name": "A", "key": 2}]}),
            "two labels have the name 'a'",
        ),
        (
            study(labels={"names": [{"name": "a", "key": 1}, {"name": "b", "key": 1}]}),
            "two labels have the key 1",
        ),
        (study(plan={"spacing_mm": 0}), "plan.spacing_mm"),
        (study(plan={"alignment": "center"}), "plan.alignment"),
        (study(models={}), "name at least one model"),
        (study(model="x"), "give one of them"),
        (study(study="../x"), "study"),
        (
            study(summary={"reference": "zzz"}),
            "'zzz' is not a model or baseline of this study; use one of a",
        ),
        ([1], "does not hold keys"),
        (None, "is empty"),
    ],
)
def test_a_fault_names_its_key(content: object, message: str) -> None:
    assert message in complaint(content)


def test_all_faults_are_told_in_one_pass() -> None:
    text = complaint(study(folds={"count": 0}, plan={"intensity": "x"}, nonsense=1))
    assert [key in text for key in ("folds.count", "plan.intensity", "nonsense")] == [True] * 3


def test_a_number_may_be_written_without_a_point() -> None:
    read = config.parse(
        study(models={"a": {"training": {"learning_rate": "1e-3"}}}), Path("c.yaml")
    )
    assert read.models["a"].training.learning_rate == 1e-3


def test_yaml_tags_are_not_executed(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"study: !!python/object/apply:os.system ['touch {tmp_path}/PWNED']\n")
    with pytest.raises(InputError, match="remove the tag"):
        config.read(path)
    assert not (tmp_path / "PWNED").exists()


def test_seeds_repeat_a_model() -> None:
    read = config.parse(study(models={"a": {"seeds": [3, 5]}, "b": {}}), Path("c.yaml"))
    assert {name: model.seeds for name, model in read.expanded_models().items()} == {
        "a": (3,),
        "a-seed5": (5,),
        "b": (0,),
    }


def test_unnamed_labels_are_landmarks() -> None:
    names = {"names": [{"name": "gland", "key": 0, "role": "structure"}]}
    labels = config.parse(study(labels=names), Path("c.yaml")).labels
    assert (labels.label(0).role, labels.label(7).name, labels.label(7).role) == (
        "structure",
        "label-7",
        "landmark",
    )


def test_twins_need_be_said_of_one_of_them() -> None:
    for mirrors in (("right", None, None), (None, "left", None), ("right", "left", None)):
        labels = config.parse(study(labels=twins(*mirrors)), Path("c.yaml")).labels
        assert labels.twins == (("left", "right"),)


@pytest.mark.parametrize("path", sorted(reference.documents()))
def test_generated_documents_are_up_to_date(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == reference.documents()[path], (
        "run `make docs`"
    )


@pytest.mark.parametrize(
    "path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: str(path.name)
)
def test_shipped_configurations_are_valid(path: Path) -> None:
    assert config.read(path).study == path.stem
