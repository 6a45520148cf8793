"""The section `baselines` of the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tenter import config, registrars
from tenter.config import BaselineSettings, External
from tenter.errors import InputError
from tenter.records import Pair

CONFIG = Path("studies/trial.yaml")


def parse(baselines: object, **keys: object) -> config.Config:
    content: dict[str, Any] = {"study": "s", "manifest": "m.tsv", "models": {"a": {}}}
    return config.parse(content | {"baselines": baselines} | keys, CONFIG)


FAULTY: list[tuple[object, str]] = [
    ({"x": {}}, "add `method:` with one of identity, external"),
    ({"x": {"method": "extrnal"}}, "write `x: {method: external}`"),
    ({"x": "identity"}, "write `x: {method: identity}`"),
    ({"x": {"method": "external"}}, "add `transform`"),
    ({"x": {"method": "external", "transform": "a.h5"}}, "has no `{pair}` in it"),
    ({"x": {"method": "identity", "transform": "{pair}.h5"}}, "`identity` has the keys method"),
    ({"a": {"method": "identity"}}, "'a' would be the name of several"),
]


@pytest.mark.parametrize(("baselines", "message"), FAULTY)
def test_a_fault_is_refused_with_its_fix(baselines: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(baselines)
    assert message in str(caught.value)


def test_baselines_may_stand_alone_and_be_the_reference() -> None:
    read = parse({"x": {"method": "identity"}}, models={}, summary={"reference": "x"})
    assert read.registering_names() == ["x"]


def test_a_path_is_relative_to_the_configuration() -> None:
    read = parse({"x": {"method": "external", "transform": "ants/{pair}/out.h5"}})
    registrar = registrars.of_study(read, CONFIG, None)["x"]
    pair = Pair(id="p-1", patients=("p",), moving=Path("m"), fixed=Path("f"))
    assert registrar.sources([pair]) == [Path("studies/ants/p-1/out.h5")]


def test_settings_of_a_job_hold_the_path_whatever_characters_are_in_it() -> None:
    read = parse({"x": {"method": "external", "transform": "a $$ b/{pair}.h5"}})
    settings = registrars.of_study(read, CONFIG, None)["x"].settings
    parsed = BaselineSettings.model_validate_json(settings.model_dump_json())
    assert isinstance(parsed.baseline, External)
    assert parsed.baseline.transform == Path("studies/a $ b/{pair}.h5")
