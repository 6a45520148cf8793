from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tenter import config

LOCAL = {"name": "local", "parity": True}
GLOBAL = {"name": "global", "parity": True, "finest": 0, "size": [4, 5, 6]}


def network(**keys: Any) -> config.Network:
    return config.Model.model_validate({"network": keys}).network


def complaint(**keys: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        network(**keys)
    return str(caught.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (LOCAL | {"norm": "batch"}, "`parity` decides on `norm` and `output`"),
        (LOCAL | {"output": "velocity"}, "`parity` decides on `norm` and `output`"),
        ({"name": "global", "parity": True}, "`size` and `parity: true` need each other"),
        ({"name": "global", "size": [4, 5, 6]}, "`size` and `parity: true` need each other"),
        (GLOBAL | {"finest": 1}, "`parity` decides on `finest`"),
        ({"name": "composite", "parity": True}, "`parity` applies to all parts"),
        ({"name": "composite", "parity": True, "first": GLOBAL}, "use `global` as `first`"),
        ({"name": "composite", "first": {"name": "unet"}}, "'global', 'keypoint'"),
        ({"name": "composite", "second": {"name": "global"}}, "'local', 'unet', 'cascade'"),
        ({"name": "cascade", "network": {"name": "keypoint"}}, "'local', 'unet'"),
        ({"name": "cascade", "factors": []}, "factors"),
        ({"name": "cascade", "factors": [0]}, "greater than or equal to 1"),
        ({"name": "keypoint", "ridge": 0}, "greater than 0"),
        ({"name": "unet", "control_spacing": 1}, "greater than or equal to 2"),
        ({"name": "unet", "output": "field"}, "'displacement', 'velocity' or 'bspline'"),
    ],
)
def test_what_does_not_fit_together_is_refused(keys: dict[str, Any], message: str) -> None:
    assert message in complaint(**keys)


@pytest.mark.parametrize(
    "keys",
    [
        {"name": "composite", "parity": True, "first": GLOBAL, "second": LOCAL | {"levels": [0]}},
        {"name": "composite", "first": {"name": "keypoint"}, "second": {"name": "cascade"}},
        {"name": "unet", "output": "bspline", "control_spacing": 6},
    ],
)
def test_settings_come_back_from_what_they_are_written_as(keys: dict[str, Any]) -> None:
    settings = network(**keys)
    assert network(**settings.model_dump(mode="json")) == settings
