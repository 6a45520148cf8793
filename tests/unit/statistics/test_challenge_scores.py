"""What cohorts come to by the rules of challenges, by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tenter import typed_tables
from tenter.records import MetricRow
from tenter.statistics.challenge_scores import WHOLE, Aggregate, aggregates

DICE = MetricRow(
    model="local", fold="0", set="cv", pair="p0", patient="a", label="gland", role="structure",
    metric="learn2reg_dice", unit="1", before=0.5, after=0.8,
)  # fmt: skip
HD95 = replace(DICE, metric="learn2reg_hd95", unit="voxel", before=6.0, after=2.0)
TRE = replace(DICE, metric="muregpro_tre", unit="voxel", before=4.0, after=2.0)


def scores(rows: list[MetricRow]) -> list[Aggregate]:
    return aggregates(rows, ("local", "b"))


def find(lines: list[Aggregate], metric: str, **keys: str) -> Aggregate:
    keys = {"metric": metric, "fold": "all"} | keys
    (found,) = (line for line in lines if all(getattr(line, k) == v for k, v in keys.items()))
    return found


def of_pair(errors: dict[str, float], pair: str, dice: float = 0.8) -> list[MetricRow]:
    """One pair's rows by the rules of µ-RegPro, unregistered twice as far."""
    rows = [replace(TRE, pair=pair, metric="muregpro_dice", unit="1", before=0.4, after=dice)]
    for label, error in errors.items():
        for name in ("tre", "hd95"):
            start = replace(TRE, pair=pair, label=label, before=1.5 * error, after=error)
            rows.append(replace(start, metric=f"muregpro_{name}"))
            rows.append(
                replace(start, metric=f"muregpro_unregistered_{name}", before=2 * error, after=None)
            )
    return rows


def test_a_case_is_the_mean_over_its_labels_whatever_their_role() -> None:
    rows = [
        DICE,
        replace(DICE, label="cyst", role="landmark", after=0.4),
        replace(DICE, pair="p1", after=1.0),
    ]
    found = find(scores(rows), "dice", aggregate="mean")
    assert found.after == pytest.approx((0.6 + 1) / 2)
    assert (found.before, found.cases) == (0.5, 2)


def test_deviation_and_robustness_are_of_cases() -> None:
    rows = [replace(HD95, pair=f"p{i}", after=float(i)) for i in range(11)]
    lines = scores(rows)
    assert find(lines, "hd95", aggregate="std").after == pytest.approx(math.sqrt(10))
    assert find(lines, "hd95", aggregate="30").after == pytest.approx(3.0)


def test_errors_of_points_have_the_other_tail() -> None:
    rows = [replace(HD95, metric="learn2reg_tre", pair=f"p{i}", after=float(i)) for i in range(11)]
    assert find(scores(rows), "tre", aggregate="30").after == pytest.approx(7.0)


def test_a_label_of_one_side_counts_for_nothing() -> None:
    lone = replace(DICE, label="cyst", before=None, after=None, note="absent in moving")
    assert find(scores([DICE, lone]), "dice", aggregate="mean").after == 0.8


def test_a_pair_without_a_common_label_leaves_the_cohort_without_a_figure() -> None:
    lone = replace(DICE, pair="p1", before=None, after=None, note="absent in moving")
    found = find(scores([DICE, lone]), "dice", aggregate="mean")
    assert found.after is not None
    assert math.isnan(found.after)
    assert found.cases == 2


def test_a_vanished_label_is_infinitely_far() -> None:
    rows = [HD95, replace(HD95, label="cyst", after=None, note="vanished")]
    assert find(scores(rows), "hd95", aggregate="mean").after == math.inf


def test_the_ensemble_stands_for_all_folds() -> None:
    rows = [replace(DICE, fold="1", after=0.1), replace(DICE, fold="ensemble", after=0.9)]
    lines = scores(rows)
    assert find(lines, "dice", aggregate="mean").after == 0.9
    assert find(lines, "dice", aggregate="mean", fold="1").after == 0.1


def test_other_figures_have_no_line() -> None:
    assert not scores([replace(DICE, metric="dice")])


def test_muregpros_aggregates_by_hand() -> None:
    rows = [
        *of_pair({"gland": 1.0, "cyst": 3.0}, "p0", 0.9),
        *of_pair({"gland": 2.0, "cyst": 4.0}, "p1", 0.7),
    ]
    lines = scores(rows)
    tre = find(lines, "tre", arithmetic="")
    assert tre.after == pytest.approx((math.sqrt(5) + math.sqrt(10)) / 2)
    assert tre.unregistered == pytest.approx(math.sqrt(5) + math.sqrt(10))
    assert find(lines, "rtre", arithmetic="").after == pytest.approx(math.sqrt(5))
    assert find(lines, "rts", arithmetic="").after == pytest.approx((1 + 2) / 2)
    assert find(lines, "hd95", arithmetic="").after == pytest.approx(2.5)
    assert (find(lines, "dsc").after, find(lines, "rdsc").after) == pytest.approx((0.8, 0.9))
    score = find(lines, "score", arithmetic="")
    assert score.after == pytest.approx(0.2 * 0.8 + 0.1 * 0.9 + (0.3 + 0.1 + 0.1 + 0.2) / 2)
    assert score.before == pytest.approx(0.3 * 0.4 + 0.7 / 4)


def test_what_whole_numbers_change_has_lines_of_its_own() -> None:
    lines = scores(of_pair({"gland": 7 / 3, "cyst": 1.0}, "p0"))
    assert find(lines, "tre", arithmetic=WHOLE).after == pytest.approx(math.sqrt(2))
    changed = {line.metric for line in lines if line.arithmetic == WHOLE and line.fold == "all"}
    assert changed == {"tre", "rtre", "rts", "score"}


def test_a_label_that_a_pair_lacks_is_without_error_if_others_have_it() -> None:
    rows = [*of_pair({"gland": 3.0}, "p0"), *of_pair({"gland": 3.0, "cyst": 3.0}, "p1")]
    expected = (math.sqrt(9 / 2) + 3) / 2
    assert find(scores(rows), "tre", arithmetic="").after == pytest.approx(expected)


def test_a_pair_without_the_first_label_has_no_overlap() -> None:
    rows = [row for row in of_pair({"cyst": 1.0}, "p0") if row.metric != "muregpro_dice"]
    assert find(scores([*rows, *of_pair({"gland": 1.0}, "p1")]), "dsc").after == pytest.approx(0.4)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rows = [
        DICE,
        HD95,
        replace(HD95, label="cyst", after=None, note="vanished"),
        replace(DICE, model="b"),
    ]
    expected = scores([*rows, *of_pair({"gland": 2.0}, "p0")])
    typed_tables.write(tmp_path / "c.tsv", Aggregate, expected)
    found = typed_tables.read(tmp_path / "c.tsv", Aggregate)
    finite = {line for line in expected if not np.isnan([line.before or 0, line.after or 0]).any()}
    assert finite <= set(found)
    assert len(found) == len(expected)


def test_models_stand_in_the_given_order() -> None:
    lines = aggregates([replace(DICE, model="a"), replace(DICE, model="z")], ("z", "a"))
    assert list(dict.fromkeys(line.model for line in lines)) == ["z", "a"]
