"""Which family a metric belongs to."""

from __future__ import annotations

import pytest

from tenter.metrics.families import FAMILIES, UNITS, family


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("dice", "strict"),
        ("ndv", "strict"),
        ("learn2reg_dice", "learn2reg"),
        ("muregpro_tre", "muregpro"),
    ],
)
def test_a_metric_has_a_family(metric: str, expected: str) -> None:
    assert family(metric) == expected


def test_a_metric_that_none_knows_is_strict() -> None:
    assert family("learn2reg_of_another_kind") == "strict"


def test_names_of_challenges_begin_with_the_family_and_no_name_has_two() -> None:
    others = [name for name in FAMILIES if name != "strict"]
    assert all(metric.startswith(f"{name}_") for name in others for metric in FAMILIES[name])
    assert len(UNITS) == sum(map(len, FAMILIES.values()))
