from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tenter.config import Pairing


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"forward": ["a"]}, "two or more groups, each once"),
        ({"forward": ["a", "b", "a"]}, "two or more groups, each once"),
        ({"forward": ["a", "b"], "groups": "within"}, "`groups: within` makes none"),
        ({"pairs_per_subject": 0}, "greater than or equal to 1"),
        ({"kind": "unpaired"}, "'paired' or 'subjects'"),
    ],
)
def test_rules_that_make_no_sense_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Pairing.model_validate(keys)
