from __future__ import annotations

import math

import pytest

from builders import finished_study
from tenter.records import MetricRow
from tenter.reporting import results

HEAD = ("local", "0", "cv", "pair000", "patient00")
DICE = ("gland", "structure", "dice", "1")
TRE = ("cyst", "landmark", "tre", "mm")


@pytest.mark.parametrize(
    ("what", "before", "after", "expected"),
    [(DICE, 0.6, 0.8, 0.2), (DICE, 0.8, 0.6, -0.2), (TRE, 9.0, 3.0, 6.0), (TRE, 3.0, 9.0, -6.0)],
)
def test_change_is_positive_where_a_figure_got_better(
    what: tuple[str, str, str, str], before: float, after: float, expected: float
) -> None:
    assert results.change(finished_study.row(HEAD, what, before, after)) == pytest.approx(expected)


def test_a_vanished_label_is_infinitely_worse() -> None:
    row = finished_study.row(HEAD, TRE, 9.0, math.inf)
    assert (row.after, results.change(row), results.worse(row)) == (None, -math.inf, True)


def test_a_label_that_was_never_there_is_not_worse() -> None:
    row = MetricRow(
        model="local", fold="0", set="cv", pair="p", patient="q", label="cyst", role="landmark",
        metric="tre", unit="mm", before=None, after=None, note="vanished; empty before",
    )  # fmt: skip
    assert not results.worse(row)


def test_quantiles_keep_vanished_labels_in_their_rank() -> None:
    values = [1.0, 2.0, 3.0, math.inf]
    assert results.quantile(values, 0.5) == 2.5
    assert results.quantile(values, 0.75) == math.inf


def test_quantile_of_nothing_is_none() -> None:
    assert results.quantile([], 0.5) is None


def test_groups_are_ordered_by_metric_then_by_configured_model() -> None:
    found = results.groups(finished_study.rows(models=("unet", "local")), ("local", "unet"))
    assert [(group.metric, group.model) for group in found[:4]] == [
        ("dice", "local"), ("dice", "unet"), ("tre", "local"), ("tre", "unet"),
    ]  # fmt: skip


def test_the_ensemble_stands_for_tested_pairs() -> None:
    members = [
        finished_study.row(("local", fold, "test", "pair000", "patient00"), DICE, 0.5, 0.7)
        for fold in ("0", "1", "ensemble")
    ]
    (group,) = results.groups(members, ("local",))
    assert [row.fold for row in group.rows] == ["ensemble"]


def test_both_subjects_of_a_pair_count_as_patients() -> None:
    row = finished_study.row(("local", "0", "cv", "pair000", "a--b"), DICE, 0.5, 0.7)
    (group,) = results.groups([row], ("local",))
    assert group.patients == 2
