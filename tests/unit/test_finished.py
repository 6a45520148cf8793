"""What the files of a finished model say, whatever has become of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builders import new_patient
from tenter import files, finished
from tenter.config import PlanRules
from tenter.errors import InputError

CONFIG = Path("config.yaml")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of two folds."""
    for fold in "01":
        new_patient.write_model(tmp_path / "model", fold)
    return tmp_path / "model"


def edit(path: Path, **keys: object) -> None:
    """Change keys of a description; `plan__shape` is a key of its plan, None takes a key away."""
    content = files.read_json(path)
    for key, value in keys.items():
        *outer, last = key.split("__")
        target = content[outer[0]] if outer else content
        target.pop(last, None)
        if value is not None:
            target[last] = value
    files.write_json(path, content)


def test_the_plan_is_that_of_the_folds(model: Path) -> None:
    found = finished.load(model)
    assert found.plan == new_patient.PLAN
    assert [fold.folder.name for fold in found.folds] == ["fold-0", "fold-1"]
    assert found.rules == PlanRules(
        spacing_mm=(2.0, 2.0, 2.5), shape=(10, 12, 8), intensity="zscore", alignment="centre"
    )


def test_a_folder_of_one_fold_is_a_model(model: Path) -> None:
    assert finished.members(model / "fold-1") == (model / "fold-1",)


def test_the_fold_trained_on_everyone_counts_only_alone(tmp_path: Path) -> None:
    everyone = new_patient.write_model(tmp_path, "all")
    assert finished.members(tmp_path) == (everyone,)
    fold = new_patient.write_model(tmp_path, "0")
    assert finished.members(tmp_path) == (fold,)
    assert finished.members(everyone) == (everyone,)


def test_a_folder_of_models_names_them(tmp_path: Path) -> None:
    for name in ("unet", "local"):
        new_patient.write_model(tmp_path / name)
    with pytest.raises(InputError, match="name one of the models in it: local, unet"):
        finished.members(tmp_path)


def without_description(model: Path) -> None:
    (model / "fold-1/model.json").unlink()


def no_json(model: Path) -> None:
    (model / "fold-1/model.json").write_text("{", encoding="utf-8")


def no_object(model: Path) -> None:
    (model / "fold-1/model.json").write_text("[]", encoding="utf-8")


def without_everything(model: Path) -> None:
    shutil.rmtree(model)


def copied(model: Path) -> None:
    shutil.copytree(model / "fold-1", model / "fold-2")


def edited(**keys: object) -> Callable[[Path], None]:
    return lambda model: edit(model / "fold-1/model.json", **keys)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no model": (without_everything, r"model: is not a folder; name a folder"),
    "lost description": (without_description, r"model: fold-1 holds no model\.json"),
    "no JSON": (no_json, r"fold-1/model\.json: is not valid JSON"),
    "a list": (no_object, r"fold-1/model\.json: holds a list, not an object"),
    "other format": (edited(format=2), r"fold-1/model\.json: is not in model format 1"),
    "no plan": (edited(plan=None), r"fold-1/model\.json: is damaged \(plan: Field required\)"),
    "no network": (edited(network=None), r"damaged \(network: Field required\)"),
    "unknown network": (edited(network={"name": "vnet"}), r"damaged \(network: .*'vnet'"),
    "no hash": (edited(weights_sha256=None), r"lacks `weights_sha256`"),
    "negative shape": (edited(plan__shape=[10, -12, 8]), r"damaged \(plan\.shape\.1: "),
    "two numbers": (edited(plan__spacing_mm=[2.0, 2.0]), r"damaged \(plan\.spacing_mm\.2: "),
    "unknown alignment": (edited(plan__alignment="rigid"), r"damaged \(plan\.alignment: "),
    "unknown intensity": (edited(plan__intensity=3), r"damaged \(plan\.intensity: "),
    "no alignment": (edited(plan__alignment=None), r"damaged \(plan\.alignment: Field required\)"),
    "channels": (
        edited(channels={"moving": 2, "fixed": 1}),
        r"`channels` are 2 x 1, those of `plan` 1 x 1",
    ),
    "a copy": (copied, r"fold-2/model\.json: has the same weights as fold-1"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_is_refused_by_file_and_cause(model: Path, damage: str) -> None:
    spoil, told = DAMAGES[damage]
    spoil(model)
    with pytest.raises(InputError, match=told):
        finished.load(model)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("shape", (10, 12, 9), "shape 10 x 12 x 9, not 10 x 12 x 8"),
        ("spacing_mm", (2.0, 2.0, 2.4), "spacing_mm 2 x 2 x 2.4, not 2 x 2 x 2.5"),
        ("intensity", "minmax", "intensity minmax, not zscore"),
        ("alignment", "mass", "alignment mass, not centre"),
        ("moving_channels", 2, "moving_channels 2, not 1"),
        ("fixed_channels", 3, "fixed_channels 3, not 1"),
    ],
)
def test_folds_of_different_plans_are_refused_by_key(
    tmp_path: Path, key: str, value: object, told: str
) -> None:
    new_patient.write_model(tmp_path, "0")
    changed = replace(new_patient.PLAN, **{key: value})  # type: ignore[arg-type]
    new_patient.write_model(tmp_path, "1", changed)
    with pytest.raises(
        InputError, match=f"was trained with another plan than fold-0: {told}"
    ) as caught:
        finished.load(tmp_path)
    assert [Path(fault.file) for fault in caught.value.faults] == [tmp_path / "fold-1/model.json"]


def test_folds_of_different_cohorts_agree(tmp_path: Path) -> None:
    new_patient.write_model(tmp_path, "0")
    new_patient.write_model(tmp_path, "1", replace(new_patient.PLAN, cohort={"pairs": 3}))
    assert len(finished.load(tmp_path).folds) == 2


def test_all_damaged_folds_are_named_at_once(model: Path) -> None:
    edit(model / "fold-0/model.json", plan=None)
    edit(model / "fold-1/model.json", network=None)
    with pytest.raises(InputError) as caught:
        finished.load(model)
    assert len(caught.value.faults) == 2


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (truncated, "is damaged: its sha256"),
        (flipped, "is damaged: its sha256"),
        (Path.unlink, "does not exist"),
        (lambda path: path.write_bytes(b""), "is damaged: its sha256"),
        (
            lambda path: path.write_bytes(
                (path.parents[1] / "fold-0/model.safetensors").read_bytes()
            ),
            "sha256",
        ),
    ],
    ids=["truncated", "flipped bit", "missing", "empty", "of another fold"],
)
def test_damaged_weights_are_named(model: Path, spoil: Callable[[Path], object], told: str) -> None:
    spoil(model / "fold-1/model.safetensors")
    (fault,) = finished.damaged_weights(finished.load(model))
    assert Path(fault.file) == model / "fold-1/model.safetensors"
    assert told in fault.message


def test_sound_weights_are_not_named(model: Path) -> None:
    assert list(finished.damaged_weights(finished.load(model))) == []


@pytest.mark.parametrize(
    ("stated", "key", "told"),
    [
        (
            {"alignment": "header"},
            "alignment",
            "is header, but the model {} was trained with centre",
        ),
        ({"alignment": "mass"}, "alignment", "is mass, but"),
        (
            {"intensity": "percentile"},
            "intensity",
            "is percentile, but the model {} was trained with zscore",
        ),
        ({"spacing_mm": 2.0}, "spacing_mm", "is 2, but the model {} was trained with 2 x 2 x 2.5"),
        ({"spacing_mm": (2.0, 2.5, 2.0)}, "spacing_mm", "is 2 x 2.5 x 2, but"),
        (
            {"shape": (12, 10, 8)},
            "shape",
            "is 12 x 10 x 8, but the model {} was trained with 10 x 12 x 8",
        ),
    ],
)
def test_a_key_that_contradicts_the_model_is_refused_with_both_values(
    model: Path, stated: dict[str, object], key: str, told: str
) -> None:
    rules = PlanRules.model_validate(stated)
    (fault,) = finished.conflicts(rules, finished.load(model), CONFIG)
    assert (fault.file, fault.column) == ("config.yaml", f"plan.{key}")
    assert told.format(model) in fault.message
    assert fault.fix == f"remove `{key}` from `plan`: the plan comes from the model"


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"alignment": "centre"},
        {"intensity": "zscore", "shape": [10, 12, 8]},
        {"spacing_mm": [2, 2, 2.5]},
        {"spacing_mm": None, "shape": None},
    ],
)
def test_what_the_model_says_too_is_no_contradiction(
    model: Path, stated: dict[str, object]
) -> None:
    assert finished.conflicts(PlanRules.model_validate(stated), finished.load(model), CONFIG) == ()


def test_every_contradicting_key_is_named(model: Path) -> None:
    stated = {"alignment": "header", "intensity": "minmax", "spacing_mm": 1.0, "shape": [1, 2, 3]}
    faults = finished.conflicts(PlanRules.model_validate(stated), finished.load(model), CONFIG)
    assert [fault.column for fault in faults] == [f"plan.{key}" for key in sorted(stated)]


@pytest.mark.parametrize("name", ["my model", "-unet", "modèle", "unet.v2", "m" * 65])
def test_a_folder_whose_name_cannot_stand_in_the_results_is_refused(
    tmp_path: Path, name: str
) -> None:
    new_patient.write_model(tmp_path / name)
    (fault,) = finished.conflicts(PlanRules(), finished.load(tmp_path / name), CONFIG)
    assert (fault.column, repr(name) in fault.message) == ("model", True)


def test_a_plan_file_is_the_models_whatever_its_cohort(model: Path, tmp_path: Path) -> None:
    found, path = finished.load(model), tmp_path / "plan.json"
    plan = {
        "shape": [10, 12, 8],
        "spacing_mm": [2, 2, 2.5],
        "intensity": "zscore",
        "alignment": "centre",
    }
    channels = {"moving_channels": 1, "fixed_channels": 1, "cohort": {"pairs": 7}}
    files.write_json(path, plan | channels)
    assert finished.is_plan(path, found)
    for wrong in (
        {"alignment": "mass"},
        {"moving_channels": 2},
        {"shape": [10, 12]},
        {"intensity": None},
    ):
        files.write_json(path, plan | channels | wrong)
        assert not finished.is_plan(path, found)
