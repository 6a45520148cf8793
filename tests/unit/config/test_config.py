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


def complaint(content: object) -> str:
    with pytest.raises(InputError) as caught:
        config.parse(content, Path("c.yaml"))
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (study(fold={"count": 3}), "fold: unknown key; did you mean 'folds'?"),
        (study(folds={"count": 1}), "folds.count: Input should be greater than or equal to 2"),
        (study(models={"a": {"training": {"learning_rate": -1}}}), "models.a.training.learning_rate"),
        (study(models={"a": {"training": {"steps": 0}}}), "models.a.training.steps"),
        (study(models={"a": {"training": {"batch": "four"}}}), "models.a.training.batch"),
        (study(models={"a/b": {}}), "models.a/b"),
        (study(plan={"spacing_mm": 0}), "plan.spacing_mm"),
        (study(plan={"alignment": "center"}), "plan.alignment"),
        (study(models={}), "name at least one model"),
        (study(model="x"), "give one of them"),
        (study(study="../x"), "study"),
        (study(summary={"reference": "zzz"}), "'zzz' is no model"),
        ([1], "is no mapping"),
        (None, "is no mapping"),
    ],
)
def test_a_fault_names_its_key(content: object, words: str) -> None:
    assert words in complaint(content)


def test_all_faults_are_told_in_one_pass() -> None:
    text = complaint(study(folds={"count": 0}, plan={"intensity": "x"}, nonsense=1))
    assert [word in text for word in ("folds.count", "plan.intensity", "nonsense")] == [True] * 3


def test_a_number_may_be_written_without_a_point() -> None:
    read = config.parse(study(models={"a": {"training": {"learning_rate": "1e-3"}}}), Path("c.yaml"))
    assert read.models["a"].training.learning_rate == 1e-3


def test_yaml_tags_are_not_executed(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"study: !!python/object/apply:os.system ['touch {tmp_path}/PWNED']\n")
    with pytest.raises(InputError, match="cannot be read"):
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


@pytest.mark.parametrize("path", sorted(reference.documents()))
def test_generated_documents_are_up_to_date(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == reference.documents()[path], "run `make docs`"


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: str(path.name))
def test_shipped_configurations_are_valid(path: Path) -> None:
    assert config.read(path).study == path.stem
