"""Phrases and names that are kept out, and those like them that are not."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from lint import words


@pytest.mark.parametrize(
    "text",
    [
        "and how to mend it",
        "Mended files",
        "Complain of what is no id.",
        "a command that is none",
        "it is no number",
        "# it is no\n    # number",
        "settings belong into the profile",
        "the user is told of it",
        "a share tells of folding",
        "ten looks in a row",
        "results shall be copied",
    ],
)
def test_a_phrase_is_named_with_what_to_write_instead(text: str) -> None:
    places = [(line, "write" in reason) for line, _, reason in words.phrases(f"\n{text}\n")]
    assert set(places) == {(2, True)}


@pytest.mark.parametrize(
    "text",
    [
        "recommend, amend",
        "there is no fold",
        "it is no longer needed",
        "None if there is none",
        "the two are told apart",
        "shallow",
        "`shall` in DICOM's text",
        "insight into the field",
    ],
)
def test_plain_english_is_left_alone(text: str) -> None:
    assert list(words.phrases(text)) == []


def test_names_of_variables_and_parameters_are_checked_and_attributes_are_not() -> None:
    tree = ast.parse("def f(told):\n    said = told.found\n    return said\n")
    assert sorted(words.names(tree)) == [(1, "told"), (2, "said")]


def test_names_are_checked_in_the_source_and_not_in_tests(tmp_path: Path) -> None:
    for name in ("src/a.py", "tests/test_a.py"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("x = 1\nfound = 2\n")
    lines = [line for path in words.checked(tmp_path) for line in words.faults(path, tmp_path)]
    assert [line.partition(": ")[0] for line in lines] == ["src/a.py:2"]


def test_every_file_that_is_left_for_later_still_needs_it() -> None:
    for name in words.TO_DO:
        path = words.ROOT / name
        assert path.is_file(), f"{name}: delete it from TO_DO"
        assert list(words.faults(path, words.ROOT)), f"{name}: delete it from TO_DO"
