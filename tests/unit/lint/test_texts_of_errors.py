"""The check that nothing takes the text of an error apart."""

from __future__ import annotations

import pytest

from lint.texts_of_errors import main, readings

TAKEN_APART = """
try:
    read()
except (OSError, DataError) as error:
    message, _, fix = str(error).rpartition("; ")
"""


@pytest.mark.parametrize(
    "source",
    [
        TAKEN_APART,
        TAKEN_APART.replace('str(error).rpartition("; ")', '"truncated" in str(error)'),
        'if fault.message.endswith("is missing"): pass',
        'path = error.faults[0].text.partition(": ")[0]',
    ],
)
def test_a_text_that_is_taken_apart_is_named(source: str) -> None:
    assert len(list(readings(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        TAKEN_APART.replace('str(error).rpartition("; ")', "error.faults[0]"),
        TAKEN_APART.replace("(OSError, DataError)", "RuntimeError"),
        'name.partition("; ")',
    ],
)
def test_other_code_passes(source: str) -> None:
    assert list(readings(source)) == []


def test_a_validators_text_that_holds_message_and_fix_is_named() -> None:
    source = 'raise ValueError("is odd; make it even")'
    assert list(readings(source)) == []
    assert len(list(readings(source, in_config=True))) == 1


def test_the_package_takes_no_text_apart() -> None:
    assert main() == 0
