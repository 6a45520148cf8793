"""Reading of a configuration from YAML, for `tenter check` and the workflow alike."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from tenter.config import faults, yaml_files
from tenter.config.section import Section
from tenter.config.study import Config
from tenter.config.test_time import TestTime
from tenter.errors import InputError
from tenter.records import Fault

LARGEST = 100_000
"""Largest number of values that a configuration may hold."""

S = TypeVar("S", bound=Section)


def read(path: Path) -> Config:
    """Read and validate a configuration file.

    Raises:
        InputError: with every fault in it, each with key, what is wrong and how to fix it.
    """
    return parse(yaml_files.read(path), path)


def read_test_time(path: Path) -> TestTime:
    """Read and validate a file with one test-time option, in the form used in a study.

    Raises:
        InputError: with every fault in it.
    """
    return parse_test_time(yaml_files.read(path), path)


def parse_test_time(content: object, path: Path = Path("test_time")) -> TestTime:
    """Validate the content of a test-time option; `path` names its file in errors.

    Raises:
        InputError: with every fault in it.
    """
    return _validated(TestTime, content, path)


def parse(content: object, path: Path) -> Config:
    """Validate the content of a configuration file; `path` names it in errors.

    Raises:
        InputError: with every fault in it.
    """
    return _validated(Config, content, path)


def _validated(section: type[S], content: object, path: Path) -> S:
    if not isinstance(content, dict):
        message = "is empty" if content is None else "does not hold keys with values"
        fix = f"write `key: value` on each line, such as `{next(iter(section.model_fields))}: ...`"
        raise InputError([Fault(str(path), message, fix)])
    if _entries(content, {}) > LARGEST:
        fault = Fault(
            str(path), "holds too many values, or an alias of itself", "write it without aliases"
        )
        raise InputError([fault])
    try:
        return section.model_validate(content)
    except ValidationError as error:
        raise InputError(faults.of_validation(section, content, path, error)) from error


def _entries(value: object, known: dict[int, int]) -> int:
    """Number of values with every alias expanded; counted without expanding them."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = LARGEST + 1  # until it is counted: for an alias of itself
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_entries(entry, known) for entry in inner)
    return known[id(value)]
