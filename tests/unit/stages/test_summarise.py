"""Summaries and comparisons of made-up figures, by hand."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tenter.config import SummariseSettings, Summary
from tenter.errors import DataError
from tenter.measurement import metric_tables
from tenter.records import MetricRow
from tenter.stages.summarise import summarise
from tenter.statistics.lines import ComparisonLine, SummaryLine
from tenter.typed_tables import columns

ROW = MetricRow(
    model="local", fold="0", set="cv", pair="p0", patient="a", label="gland", role="structure",
    metric="dice", unit="1", before=0.5, after=0.8,
)  # fmt: skip
TRE = replace(ROW, label="cyst", role="landmark", metric="tre", unit="mm", before=8.0, after=2.0)
LOST = replace(TRE, after=None, note="vanished")


def many(row: MetricRow, values: list[float], before: float | None = None) -> list[MetricRow]:
    """One pair a patient, dealt to two folds."""
    return [
        replace(
            row, pair=f"p{i}", patient=f"q{i}", fold=str(i % 2), after=value,
            before=row.before if before is None else before,
        )
        for i, value in enumerate(values)
    ]  # fmt: skip


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def run(
    folder: Path,
    *tables: list[MetricRow],
    models: tuple[str, ...] = ("local",),
    reference: str | None = None,
) -> list[dict[str, str]]:
    """Write and summarise tables; the lines of summary.tsv."""
    paths = tuple(folder / f"{index}.tsv" for index in range(len(tables)))
    for path, rows in zip(paths, tables, strict=True):
        metric_tables.write(path, rows)
    summarise(
        metrics=paths,
        settings=SummariseSettings(summary=Summary(reference=reference), models=models),
        code="c",
        output=folder / "metrics.tsv",
        summary=folder / "summary.tsv",
        comparison=folder / "comparison.tsv",
        challenges=folder / "challenges.tsv",
    )
    return table(folder / "summary.tsv")


def line(lines: list[dict[str, str]], **keys: str) -> dict[str, str]:
    keys = {"fold": "all", "label": ""} | keys
    (match,) = (row for row in lines if all(row[name] == value for name, value in keys.items()))
    return match


def test_all_figures_stand_in_one_sorted_table(tmp_path: Path) -> None:
    second, first = (
        [replace(ROW, pair="p1"), TRE],
        [replace(ROW, pair="p0"), replace(TRE, pair="p1")],
    )
    run(tmp_path, second, first)
    rows = metric_tables.read(tmp_path / "metrics.tsv")
    assert len(rows) == 4
    assert list(rows) == sorted(rows, key=metric_tables.key)


def test_the_same_figure_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="measured twice: local cv 0 p0 structure gland dice"):
        run(tmp_path, [ROW], [ROW])


def test_a_distribution_is_that_of_all_pairs(tmp_path: Path) -> None:
    values = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    summary = line(run(tmp_path, many(ROW, values)), role="structure", label="gland")
    shares = {"median": 0.5, "q1": 0.25, "q3": 0.75, "p10": 0.1, "p90": 0.9}
    for name, share in shares.items():
        assert float(summary[f"after_{name}"]) == pytest.approx(np.quantile(values, share))
    assert float(summary["after_mean"]) == pytest.approx(np.mean(values))
    assert float(summary["before_median"]) == 0.5
    assert (float(summary["after_low"]), float(summary["after_high"])) == (0.5, 0.95)


def test_each_fold_has_its_own_line(tmp_path: Path) -> None:
    lines = run(tmp_path, many(ROW, [0.1, 0.6, 0.2, 0.7, 0.3, 0.8]))
    medians = [float(line(lines, fold=fold, label="gland")["after_median"]) for fold in ("0", "1")]
    assert medians == pytest.approx([0.2, 0.7])


def test_a_vanished_label_counts_as_worst(tmp_path: Path) -> None:
    rows = [*many(TRE, [1.0, 2.0]), replace(LOST, pair="p8"), replace(LOST, pair="p9")]
    summary = line(run(tmp_path, rows), label="cyst")
    assert (summary["after_median"], summary["after_mean"], summary["vanished"], summary["n"]) == (
        "inf",
        "inf",
        "2",
        "4",
    )
    assert summary["after_p10"] == pytest.approx("1.3")


def test_a_label_that_the_alignment_lost_counts_as_worst_before(tmp_path: Path) -> None:
    lost = replace(TRE, before=None, note="empty before")
    summary = line(run(tmp_path, [lost]), label="cyst")
    assert (summary["before_median"], summary["after_median"], summary["empty_before"]) == (
        "inf",
        "2.0",
        "1",
    )


def test_a_label_that_one_side_lacks_is_counted_apart(tmp_path: Path) -> None:
    lone = replace(
        TRE, pair="p9", metric="dice", unit="1", before=None, after=None, note="absent in moving"
    )
    lines = run(tmp_path, [TRE, lone, replace(TRE, metric="dice", unit="1", before=0.1, after=0.7)])
    for metric in ("tre", "dice"):
        summary = line(lines, role="landmark", label="cyst", metric=metric)
        assert (summary["n"], summary["absent"]) == ("1", "1")


def test_a_label_that_is_never_on_both_sides_still_has_a_line(tmp_path: Path) -> None:
    lone = replace(ROW, before=None, after=None, note="absent in fixed")
    summary = line(run(tmp_path, [lone]), label="gland")
    assert (summary["n"], summary["absent"], summary["after_median"]) == ("0", "1", "")


def test_all_labels_of_a_role_have_a_line_together(tmp_path: Path) -> None:
    rows = [TRE, replace(TRE, label="lump", after=6.0)]
    summary = line(run(tmp_path, rows), role="landmark")
    assert (summary["n"], summary["pairs"], summary["after_median"]) == ("2", "1", "4.0")


def test_points_have_a_line_together_only(tmp_path: Path) -> None:
    rows = [replace(TRE, role="points", metric="point_tre", label=name) for name in ("1", "2")]
    assert [row["label"] for row in run(tmp_path, rows) if row["fold"] == "all"] == [""]


def test_the_failure_rate_is_the_share_of_pairs_made_worse(tmp_path: Path) -> None:
    summary = line(run(tmp_path, many(ROW, [0.9, 0.4, 0.5, 0.8])), role="structure", label="")
    expected = stats.binomtest(1, 4).proportion_ci(method="exact")
    assert (summary["worse_pairs"], summary["worse_rate"]) == ("1", "0.25")
    assert float(summary["worse_low"]) == pytest.approx(expected.low)
    assert float(summary["worse_high"]) == pytest.approx(expected.high)


def test_an_error_that_grew_or_a_label_that_vanished_is_a_failure(tmp_path: Path) -> None:
    rms = replace(TRE, label="", metric="rms_tre")
    rows = [
        rms,
        replace(rms, pair="p1", after=9.0),
        replace(rms, pair="p2", after=None, note="vanished"),
    ]
    assert line(run(tmp_path, rows), metric="rms_tre")["worse_pairs"] == "2"


def test_figures_of_the_field_have_no_failure_rate(tmp_path: Path) -> None:
    folding = replace(
        ROW, label="", role="field", metric="folding", unit="%", before=0.0, after=1.0
    )
    assert line(run(tmp_path, [folding]), metric="folding")["worse_rate"] == ""


def test_the_ensemble_stands_for_tested_pairs(tmp_path: Path) -> None:
    members = [
        replace(ROW, set="test", fold=fold, after=after)
        for fold, after in (("0", 0.1), ("ensemble", 0.9))
    ]
    lines = run(tmp_path, members)
    assert line(lines, set="test", label="gland")["after_median"] == "0.9"
    assert line(lines, set="test", label="gland", fold="0")["after_median"] == "0.1"


def test_models_stand_in_the_order_of_the_configuration(tmp_path: Path) -> None:
    lines = run(tmp_path, [replace(ROW, model="a")], [replace(ROW, model="z")], models=("z", "a"))
    assert [row["model"] for row in lines] == sorted((row["model"] for row in lines), reverse=True)


def test_doing_it_again_in_another_order_gives_the_same_bytes(tmp_path: Path) -> None:
    rows = [many(ROW, [0.5, 0.6, 0.9]), many(replace(ROW, model="unet"), [0.4, 0.7, 0.8])]
    names = ("metrics.tsv", "summary.tsv", "comparison.tsv")
    run(tmp_path, *rows, models=("local", "unet"))
    first = [(tmp_path / name).read_bytes() for name in names]
    run(tmp_path, *reversed(rows), models=("local", "unet"))
    assert [(tmp_path / name).read_bytes() for name in names] == first


def test_models_are_compared_by_patient(tmp_path: Path) -> None:
    """Patient q0 has three pairs and counts once."""
    reference_rows = many(ROW, [0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
    unet_rows = many(replace(ROW, model="unet"), [0.9, 0.9, 0.9, 0.6, 0.55, 0.45])
    owner = {"p1": "q0", "p2": "q0"}
    unet_rows, reference_rows = (
        [replace(r, patient=owner.get(r.pair, r.patient)) for r in rows]
        for rows in (unet_rows, reference_rows)
    )
    run(tmp_path, unet_rows, reference_rows, models=("local", "unet"))
    (comparison,) = table(tmp_path / "comparison.tsv")
    assert (comparison["model"], comparison["reference"], comparison["test_unit"]) == (
        "unet",
        "local",
        "patient",
    )
    assert (comparison["pairs"], comparison["patients"], comparison["units"]) == ("6", "4", "4")
    assert (comparison["higher"], comparison["lower"]) == ("3", "1")
    assert float(comparison["difference"]) == pytest.approx(0.075)
    assert (comparison["low"], comparison["high"], comparison["p"], comparison["p_holm"]) == (
        "",
        "",
        "",
        "",
    )


def test_only_what_both_measured_is_compared(tmp_path: Path) -> None:
    run(
        tmp_path,
        many(ROW, [0.5, 0.6, 0.7]),
        many(replace(ROW, model="unet"), [0.6, 0.7]),
        models=("local", "unet"),
    )
    assert table(tmp_path / "comparison.tsv")[0]["pairs"] == "2"


def test_a_label_that_vanished_with_one_model_decides_for_the_other(tmp_path: Path) -> None:
    lost = [replace(r, after=None, note="vanished", model="unet") for r in many(TRE, [0.0] * 3)]
    run(tmp_path, many(TRE, [5.0, 6.0, 7.0]), lost, models=("local", "unet"))
    (comparison,) = table(tmp_path / "comparison.tsv")
    assert (comparison["difference"], comparison["model_median"], comparison["higher"]) == (
        "inf",
        "inf",
        "3",
    )


def test_p_values_are_corrected_for_models_and_metrics(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    models = ("local", "unet", "global")
    rows = [
        row
        for model in models
        for start in (ROW, TRE)
        for row in many(replace(start, model=model), list(random.normal(5, 1, 12)))
    ]
    run(tmp_path, rows, models=models)
    comparisons = table(tmp_path / "comparison.tsv")
    p, holm = ([float(item[name]) for item in comparisons] for name in ("p", "p_holm"))
    assert len(p) == 4
    assert min(holm) == pytest.approx(min(1.0, 4 * min(p)))


def test_the_correction_counts_primary_outcomes_whatever_else_is_measured(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    extra = ("hd95", "surface_distance")
    rows = {
        metric: [
            many(replace(ROW, metric=metric, model=m), list(random.normal(5, 1, 12)))
            for m in ("a", "b")
        ]
        for metric in ("dice", *extra)
    }
    run(tmp_path, *rows["dice"], models=("a", "b"))
    (alone,) = table(tmp_path / "comparison.tsv")
    run(tmp_path, *(part for both in rows.values() for part in both), models=("a", "b"))
    comparisons = {row["metric"]: row for row in table(tmp_path / "comparison.tsv")}
    assert comparisons["dice"] == alone
    assert all(comparisons[metric]["p"] and not comparisons[metric]["p_holm"] for metric in extra)


@pytest.mark.parametrize(
    ("metric", "role", "worse"),
    [
        ("dice", "structure", "1"),
        ("tre", "landmark", "5"),
        ("unknown", "landmark", ""),
        ("hd95", "structure", "5"),
    ],
)
def test_what_counts_as_worse_follows_the_metric(
    tmp_path: Path, metric: str, role: str, worse: str
) -> None:
    rows = many(replace(ROW, metric=metric, role=role), [0.6, 0.7, 0.8, 0.9, 0.95, 0.4], before=0.5)
    assert line(run(tmp_path, rows), metric=metric)["worse_pairs"] == worse


def test_pairs_of_two_subjects_say_so(tmp_path: Path) -> None:
    unet_rows, reference_rows = (
        [replace(ROW, model=model, pair=f"p{i}", patient=f"q{i}--q{i + 1}") for i in range(4)]
        for model in ("local", "unet")
    )
    lines = run(tmp_path, unet_rows, reference_rows, models=("local", "unet"))
    assert table(tmp_path / "comparison.tsv")[0]["test_unit"] == "pair of patients"
    assert table(tmp_path / "comparison.tsv")[0]["patients"] == "5"
    assert line(lines, model="local", label="gland")["patients"] == "5"


def test_one_model_is_compared_with_none(tmp_path: Path) -> None:
    run(tmp_path, [ROW])
    assert (tmp_path / "comparison.tsv").read_text(encoding="utf-8") == "\t".join(
        columns(ComparisonLine)
    ) + "\n"


def test_the_reference_can_be_chosen(tmp_path: Path) -> None:
    run(tmp_path, [ROW, replace(ROW, model="unet")], models=("local", "unet"), reference="unet")
    assert table(tmp_path / "comparison.tsv")[0]["model"] == "local"


def test_a_reference_without_figures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="reference model 'unet' has no figures"):
        run(tmp_path, [ROW], models=("local", "unet"), reference="unet")


def test_the_header_is_written_even_without_figures(tmp_path: Path) -> None:
    assert run(tmp_path, []) == []
    assert (tmp_path / "summary.tsv").read_text(encoding="utf-8").rstrip("\n").split("\t") == list(
        columns(SummaryLine)
    )


def test_one_patient_has_no_interval(tmp_path: Path) -> None:
    summary = line(run(tmp_path, [ROW, replace(ROW, pair="p1", after=0.9)]), label="gland")
    assert (summary["after_low"], summary["after_high"]) == ("", "")
    assert math.isclose(float(summary["after_median"]), 0.85)
