"""Paths of the configuration: what is written out, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenter import config
from tenter.config import paths
from tenter.errors import InputError

ENOUGH: dict[str, Any] = {"study": "s", "manifest": "m.tsv", "models": {"a": {}}}


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("SCRATCH", "/scratch/ann b")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("NOWHERE", raising=False)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("~", "/home/ann"),
        ("~/m.tsv", "/home/ann/m.tsv"),
        ("$HOME/m.tsv", "/home/ann/m.tsv"),
        ("${SCRATCH}/x", "/scratch/ann b/x"),
        ("data/$SCRATCH", "data//scratch/ann b"),
        ("a$$b", "a$b"),
        ("a$$HOME", "a$HOME"),
        ("a$1", "a$1"),
        ("a$", "a$"),
        ("./~x", "./~x"),
        ("a~b/~", "a~b/~"),
        ("ä {x} <y> #?'\"`", "ä {x} <y> #?'\"`"),
    ],
)
def test_home_and_variables_are_written_out(text: str, path: str) -> None:
    assert paths.expanded(text) == path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "$NOWHERE/x",
            "names the environment variable 'NOWHERE', which is not set; set it, or write `$$`",
        ),
        ("${NOWHERE}", "'NOWHERE', which is not set"),
        ("$EMPTY/x", "'EMPTY', which is not set"),
        ("a${}b", "'', which is not set"),
        (
            "~nobody-here/x",
            "begins with `~nobody-here`, which is not the home of a user; write `./~nobody-here`",
        ),
        ("", "is empty; give a path"),
        ("  ", "is empty; give a path"),
        ("a\nb", "holds a control character"),
        ("a\x00b", "holds a control character"),
    ],
)
@pytest.mark.parametrize("key", ["manifest", "data_root", "results", "model"])
def test_what_is_no_path_is_refused_with_its_key(key: str, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        config.parse(ENOUGH | {key: text}, Path("c.yaml"))
    fault = next(fault for fault in caught.value.faults if fault.column == key)
    assert message in str(fault)


def test_the_database_of_tracking_is_written_out_and_no_other_address() -> None:
    def uri(text: str) -> str | None:
        return config.parse(ENOUGH | {"tracking": {"uri": text}}, Path("c.yaml")).tracking.uri

    assert uri("sqlite:///$HOME/m.db") == "sqlite:////home/ann/m.db"
    assert uri("sqlite:///~/m.db") == "sqlite:////home/ann/m.db"
    assert uri("sqlite:///m$$.db") == "sqlite:///m$.db"
    assert uri("https://a:b$HOME@host") == "https://a:b$HOME@host"
    assert uri("https://host/~x") == "https://host/~x"


@given(
    text=st.text(st.characters(exclude_characters="$~", exclude_categories=("C", "Z")), min_size=1)
)
def test_a_path_without_dollar_and_tilde_is_taken_as_it_is(text: str) -> None:
    assert paths.expanded(text) == text


@given(
    text=st.text(st.characters(exclude_characters="~", exclude_categories=("C", "Z")), min_size=1)
)
def test_any_name_can_be_written_with_doubled_dollars(text: str) -> None:
    assert paths.expanded(text.replace("$", "$$")) == text
