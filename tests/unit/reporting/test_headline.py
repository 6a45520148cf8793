from __future__ import annotations

from typing import Any

import pytest

from tenter.reporting import headline, listings
from tenter.statistics.lines import ComparisonLine, Distribution, SummaryLine

SPACE = "\N{NO-BREAK SPACE}"


def figures(median: float, low: float | None = None, high: float | None = None) -> Distribution:
    return Distribution(median=median, q1=median, q3=median, low=low, high=high)


def line(role: str, metric: str, before: float, after: Distribution, **more: Any) -> SummaryLine:
    fields: dict[str, Any] = {
        "model": "local", "set": "cv", "fold": "all", "label": "", "unit": "1", "n": 84,
        "pairs": 84, "patients": 58, "vanished": 0, "empty_before": 0, "absent": 0,
        "worse_pairs": 2, "worse_low": None, "worse_high": None,
    }  # fmt: skip
    return SummaryLine(
        role=role, metric=metric, before=figures(before), after=after, **(fields | more)
    )


LINES = (
    line("structure", "dice", 0.62, figures(0.87, 0.85, 0.88)),
    line("landmark", "tre", 11.6, figures(3.6, 3.3, 4.0), n=252, vanished=30, worse_pairs=9),
    line("landmark", "rms_tre", 12.0, figures(4.1, 3.8, 4.9), worse_pairs=21),
)


def contrast(**values: Any) -> ComparisonLine:
    fields: dict[str, Any] = {
        "set": "cv", "role": "landmark", "metric": "tre", "unit": "mm", "model": "unet",
        "reference": "local", "test_unit": "patient", "units": 58, "pairs": 84,
        "patients": 58, "higher": 40, "lower": 18, "reference_median": 3.6,
        "model_median": 4.1, "difference": 0.5,
        "low": 0.2, "high": 0.7, "p": 0.01, "p_holm": 0.02,
    }  # fmt: skip
    return ComparisonLine(**(fields | values))


def test_the_summary_says_the_main_result_in_words() -> None:
    said = headline.summary(LINES, "local", "cv", "gland")
    assert (
        "84 image pairs of 58 patients, each with a network that had never seen its patient" in said
    )
    assert (
        f"rose from a median of 0.62 to 0.87 (95{SPACE}% interval of the latter: 0.85 to 0.88)"
        in said
    )
    assert (
        f"fell from a median of 11.6{SPACE}mm to 3.6{SPACE}mm "
        f"(95{SPACE}% interval of the latter: 3.3 to 4.0{SPACE}mm)" in said
    )


def test_the_summary_does_not_hide_failures() -> None:
    said = headline.summary(LINES, "local", "cv", "gland")
    assert f"2 of 84 (2{SPACE}%) by the Dice of the gland" in said
    assert f"21 of 84 (25{SPACE}%) by the RMS TRE" in said
    assert f"30 of 252 (12{SPACE}%)" in said


def test_a_result_that_got_worse_is_said_so() -> None:
    worse = (line("structure", "dice", 0.8, figures(0.6)),)
    assert "fell from a median of 0.80 to 0.60." in headline.summary(worse, "local", "cv", "gland")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (0.6464, 0.6459, "did not change: its median is 0.65 before and after."),
        (0.65, 0.65, "did not change: its median is 0.65 before and after."),
        (0.654, 0.655, "rose from a median of 0.65 to 0.66."),
        (0.66, 0.65, "fell from a median of 0.66 to 0.65."),
        (0.0, 0.004, "did not change: its median is 0.00 before and after."),
    ],
)
def test_what_reads_the_same_did_not_change(before: float, after: float, told: str) -> None:
    same = (line("structure", "dice", before, figures(after)),)
    assert told in headline.summary(same, "local", "cv", "gland")


def test_the_interval_of_what_did_not_change_is_that_after_registration() -> None:
    same = (line("landmark", "tre", 5.04, figures(5.02, 4.1, 6.0)),)
    said = headline.summary(same, "local", "cv", "gland")
    assert f"before and after (95{SPACE}% interval after: 4.1 to 6.0{SPACE}mm)." in said


@pytest.mark.parametrize(
    ("kind", "flags", "told"),
    [
        ("cv", {}, "58 patients, each with a network that had never seen its patient."),
        ("cv", {"of_two": True}, "each with a network that had never seen either of its patients."),
        ("test", {}, "58 patients that took no part in cross-validation."),
        ("test", {"of_two": True}, "58 patients that took no part in cross-validation."),
        (
            "test",
            {"applied": True},
            "58 patients, none of which was used for training in this study.",
        ),
    ],
)
def test_who_registered_a_pair_is_said(kind: str, flags: dict[str, bool], told: str) -> None:
    known = (line("structure", "dice", 0.6, figures(0.8), set=kind),)
    assert told in headline.summary(known, "local", kind, "gland", **flags)


def test_an_unlabelled_cohort_is_said_to_be_of_unknown_accuracy() -> None:
    field = line("field", "folding", 0.0, figures(0.02), set="test")
    said = headline.summary((field,), "local", "test", "structures")
    assert "how well they match is not known" in said
    assert f"0.02{SPACE}%" in said


def test_cards_show_before_after_interval_and_counts() -> None:
    cards = headline.cards(LINES, "local", "cv", "gland")
    assert [(card.before, card.after) for card in cards] == [
        ("0.62", "0.87"), ("11.6", f"3.6{SPACE}mm"), ("12.0", f"4.1{SPACE}mm"),
    ]  # fmt: skip
    assert cards[1].detail == (
        f"95{SPACE}% interval 3.3 to 4.0",
        "252 labels, 84 pairs, 58 patients",
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "local"),
        ({"difference": -0.5, "low": -0.7, "high": -0.2}, "unet"),
        ({"metric": "dice", "role": "structure", "low": 0.01, "high": 0.02}, "unet"),
        ({"p_holm": 0.2}, f"not{SPACE}told{SPACE}apart"),
        ({"low": -0.1}, f"not{SPACE}told{SPACE}apart"),
        ({"low": None}, f"not{SPACE}told{SPACE}apart"),
    ],
)
def test_a_model_is_called_better_only_where_interval_and_test_agree(
    values: dict[str, Any], expected: str
) -> None:
    assert headline.compared([contrast(**values)]).rows[0][-1] == expected


def test_a_further_model_is_said_in_one_line_with_its_difference() -> None:
    other = line("landmark", "tre", 11.6, figures(4.1), model="unet")
    said = headline.versus((other,), [contrast()], "unet", "cv", "gland")
    assert said == (
        f"Model unet: landmark TRE 4.1{SPACE}mm "
        f"(+0.5 against local, 95{SPACE}% interval 0.2 to 0.7: local is better)."
    )


def test_quartiles_that_no_label_reached_are_called_vanished() -> None:
    wide = Distribution(median=5.0, q1=3.0, q3=float("inf"), low=None, high=None)
    assert listings.spread(wide, LINES[1].definition) == "5.0 (3.0\N{EN DASH}vanished)"
