"""Reading YAML: what a file holds, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenter.config import yaml_files
from tenter.errors import InputError


def refused(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        yaml_files.read(path)
    return str(caught.value)


def test_a_key_that_is_given_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    assert "`models` is given twice, in lines 1 and 4" in refused(
        path, "models:\n  a: {}\nstudy: s\nmodels:\n  b: {}\n"
    )
    assert "`b` is given twice, in lines 2 and 3" in refused(path, "a:\n  b: 1\n  b: 2\n")


def test_what_a_merge_brings_may_be_given_anew(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(
        "a: &a {b: 1, c: 3}\nd:\n  <<: *a\n  b: 2\ne:\n  <<: [*a, *a]\n", encoding="utf-8"
    )
    assert yaml_files.read(path) == {
        "a": {"b": 1, "c": 3},
        "d": {"b": 2, "c": 3},
        "e": {"b": 1, "c": 3},
    }


def test_what_is_no_yaml_is_refused_by_name(tmp_path: Path) -> None:
    assert "is not YAML" in refused(tmp_path / "study.yaml", "a: [1\n")
