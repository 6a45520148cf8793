from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenter.metrics.definitions import definition
from tenter.reporting import words

DICE, TRE = definition("dice"), definition("tre")
SPACE, MINUS = "\N{NO-BREAK SPACE}", "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3.57, f"3.6{SPACE}mm"), (None, words.NONE), (math.nan, words.NONE), (math.inf, "vanished")],
)
def test_numbers_carry_unit_and_digits(value: float | None, expected: str) -> None:
    assert words.number(value, TRE) == expected


def test_negative_numbers_have_a_true_minus() -> None:
    assert words.number(-0.034, DICE, sign=True) == f"{MINUS}0.03"


def test_what_rounds_to_zero_has_no_sign() -> None:
    assert words.number(-0.001, DICE, sign=True) == "0.00"


@given(st.floats(-1e6, 1e6))
def test_a_printed_number_is_within_half_a_digit(value: float) -> None:
    printed = float(words.number(value, TRE, unit=False).replace(MINUS, "-"))
    assert abs(printed - value) <= 0.05 + 1e-9 * abs(value)


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(3, 84, f"3 of 84 (4{SPACE}%)"), (1, 400, f"1 of 400 (0.2{SPACE}%)"), (0, 0, "0 of 0")],
)
def test_shares_say_count_total_and_percent(part: int, whole: int, expected: str) -> None:
    assert words.share(part, whole) == expected


@pytest.mark.parametrize(
    ("quantity", "noun", "expected"),
    [(1, "pair", "1 pair"), (2, "pair", "2 pairs"), (2, "pair of patients", "2 pairs of patients")],
)
def test_counts_take_the_plural(quantity: int, noun: str, expected: str) -> None:
    assert words.count(quantity, noun) == expected


def test_lists_end_with_and() -> None:
    assert words.listed(["a", "b", "c"]) == "a, b and c"


def test_small_p_values_are_bounded_not_zero() -> None:
    assert (words.p_value(0.00004), words.p_value(0.0416)) == ("< 0.001", "0.042")
