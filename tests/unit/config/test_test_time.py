"""Test-time options as they are configured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tenter import config
from tenter.errors import InputError

REFINE: dict[str, Any] = {"refine": {}}


def study(**models: Any) -> dict[str, Any]:
    named = {name.replace("_", "-"): model for name, model in models.items()}
    return {"study": "s", "manifest": "m.tsv", "models": named}


def option(**parts: Any) -> dict[str, Any]:
    return study(a={"seeds": [0, 1], "test_time": {"x": parts}})


def refine(**keys: Any) -> dict[str, Any]:
    return option(refine=keys)


def read(content: object) -> config.Config:
    return config.parse(content, Path("c.yaml"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (option(), "models.a.test_time.x: does nothing; give `ensemble: true`"),
        (option(ensemble=False), "give `ensemble: true`, `poses` or `refine`"),
        (
            option(poses={}),
            "models.a.test_time.x.poses: `poses` would register the same pair again",
        ),
        (option(poses={"count": 0, "scale": 0.1}), "models.a.test_time.x.poses.count"),
        (option(pose={"scale": 0.1}), "models.a.test_time.x.pose: unknown key; did you mean"),
        (refine(images=[]), "models.a.test_time.x.refine.images"),
        (
            refine(images=[{"name": "ssd", "weight": 0}]),
            "give at least one term of `images` a weight above 0",
        ),
        (refine(images=[{"name": "dice"}]), "models.a.test_time.x.refine.images: is 'dice'"),
        (
            refine(regularisers=[{"name": "inverse_consistency"}]),
            "refinement has none; leave it out",
        ),
        (refine(regularisers=3), "models.a.test_time.x.refine.regularisers"),
        (refine(labels=[{"name": "dice"}]), "models.a.test_time.x.refine.labels: unknown key"),
        (refine(steps=0), "models.a.test_time.x.refine.steps"),
        (
            study(a={"test_time": {"x": {"ensemble": True}}}),
            "is an ensemble of seeds, but there is one",
        ),
        (study(a={"test_time": {"x/y": REFINE}}), "models.a.test_time.x/y"),
        (study(a={"test_time": {"x": REFINE}}, a_x={}), "'a-x' would be the name of several"),
        (
            study(a={"seeds": [0, 1], "test_time": {"seed1": REFINE}}),
            "'a-seed1' would be the name of several",
        ),
        (
            study(a={"test_time": {"x-y": REFINE}}, a_x={"test_time": {"y": REFINE}}),
            "'a-x-y' would be the name of several",
        ),
        (study(a={"test_time": {"x" * 63: REFINE}}), "exceeds 64 characters"),
    ],
)
def test_a_fault_names_its_key(content: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(content)
    assert message in str(caught.value)


def test_a_seed_that_takes_a_models_name_is_refused() -> None:
    with pytest.raises(InputError, match="'a-seed1' would be the name of several"):
        read(study(a={"seeds": [0, 1]}, a_seed1={}))


def test_options_carry_their_models_name() -> None:
    settings = read(
        study(a={"seeds": [0, 1], "test_time": {"x": REFINE}}, b={"test_time": {"x": REFINE}})
    )
    assert {name: model for name, (model, _) in settings.options().items()} == {
        "a-x": "a",
        "b-x": "b",
    }
    assert settings.registering_names() == ["a", "a-seed1", "a-x", "b", "b-x"]


def test_an_option_may_be_the_reference() -> None:
    content = study(a={"test_time": {"x": REFINE}}) | {"summary": {"reference": "a-x"}}
    assert read(content).summary.reference == "a-x"


def test_refinement_minimises_images_and_regularisers_and_no_label() -> None:
    _, chosen = read(option(**REFINE)).options()["a-x"]
    assert chosen.refine is not None
    losses = chosen.refine.losses
    assert (losses.labels, losses.images, losses.regularisers) == (
        (), (config.MindLoss(),), (config.BendingLoss(),)
    )  # fmt: skip
    assert losses.comparing == ("mind",)


def test_a_file_holds_one_option(tmp_path: Path) -> None:
    path = tmp_path / "option.yaml"
    path.write_text("poses: {rotation_deg: 1e1}\nrefine:\n  learning_rate: 5e-2\n")
    option = config.read_test_time(path)
    assert option.poses is not None
    assert option.refine is not None
    assert (option.poses.rotation_deg, option.refine.learning_rate, option.ensemble) == (
        10.0,
        0.05,
        False,
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "does not hold keys with values"),
        ("refine: {step: 3}", "refine.step: unknown key; did you mean 'steps'?"),
        ("{}", "give `ensemble: true`, `poses` or `refine`"),
        ("refine: [", "is not YAML"),
    ],
)
def test_a_spoilt_file_is_told(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "option.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        config.read_test_time(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
