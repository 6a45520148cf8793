"""Which rows count in which line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tenter.records import MetricRow
from tenter.statistics.grouping import frame, grouped, pooled, with_all_folds, with_all_labels

ROW = MetricRow(
    model="a", fold="0", set="cv", pair="p", patient="q", label="gland", role="structure",
    metric="dice", unit="1", before=0.5, after=0.8,
)  # fmt: skip
OTHER = replace(ROW, fold="1", pair="o")
MEMBERS = [replace(ROW, set="test", fold=fold) for fold in ("0", "1", "ensemble")]


def test_out_of_fold_pairs_are_all_pooled() -> None:
    assert list(pooled(frame([ROW, OTHER]))["row"]) == [ROW, OTHER]


def test_an_ensemble_stands_for_its_members_of_the_same_model_and_set() -> None:
    single = replace(ROW, model="b", set="test")
    rows = [ROW, *MEMBERS, single]
    assert list(pooled(frame(rows))["row"]) == [ROW, MEMBERS[2], single]


def test_every_row_counts_in_its_fold_and_the_pooled_ones_in_all() -> None:
    groups = grouped(with_all_folds(frame(MEMBERS)), ("fold",))
    assert {fold: members for (fold,), members in groups.items()} == {
        "0": [MEMBERS[0]],
        "1": [MEMBERS[1]],
        "all": [MEMBERS[2]],
        "ensemble": [MEMBERS[2]],
    }


@pytest.mark.parametrize(
    ("role", "label", "expected"),
    [
        ("structure", "gland", {"gland", ""}),
        ("points", "a", {""}),
        ("field", "", {""}),
    ],
)
def test_single_points_have_no_line(role: str, label: str, expected: set[str]) -> None:
    rows = frame([replace(ROW, role=role, label=label)])
    groups = grouped(with_all_labels(rows), ("label",))
    assert {name for (name,) in groups} == expected
    assert all(len(members) == 1 for members in groups.values())


def test_groups_are_sorted_and_their_rows_keep_their_order() -> None:
    rows = [replace(ROW, model=model, pair=pair) for model in "ba" for pair in "zy"]
    groups = grouped(frame(rows), ("model",))
    assert list(groups) == [("a",), ("b",)]
    assert [row.pair for row in groups["a",]] == ["z", "y"]


def test_names_that_read_like_missing_values_are_names() -> None:
    rows = [replace(ROW, label=label) for label in ("nan", "NA", "None")]
    assert set(grouped(frame(rows), ("label",))) == {("nan",), ("NA",), ("None",)}


def test_no_rows_have_no_groups() -> None:
    assert grouped(with_all_labels(with_all_folds(frame([])))) == {}
