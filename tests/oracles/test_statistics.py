"""summary.tsv and comparison.tsv recomputed from metrics.tsv by pandas,
SciPy and dense matrices.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tenter.config import SummariseSettings, Summary
from tenter.measurement import metric_tables
from tenter.records import MetricRow
from tenter.stages.summarise import summarise

MODELS = ("first", "second", "third")
METRICS = (
    ("gland", "structure", "dice", "1"),
    ("cyst", "landmark", "tre", "mm"),
    ("", "landmark", "rms_tre", "mm"),
)


def _rows(owners: list[str], seed: int, labels: int) -> list[MetricRow]:
    """Figures of every model; every tenth landmark or so vanishes."""
    random = np.random.default_rng(seed)
    effects = {name: random.normal() for owner in owners for name in owner.split("--")}
    rows = []
    for (index, owner), model in itertools.product(enumerate(owners), MODELS):
        common = sum(effects[name] for name in owner.split("--"))
        for (label, role, metric, unit), place in itertools.product(METRICS, range(labels)):
            before, after = np.exp(
                0.5 * common + random.normal(size=2) - [0, 0.3 * MODELS.index(model)]
            )
            lost = role == "landmark" and random.random() < 0.1
            rows.append(
                MetricRow(
                    model=model, fold=str(index % 2), set="cv", pair=f"p{index:03d}", patient=owner,
                    label=f"{label}{place}" if label else "", role=role, metric=metric, unit=unit,
                    before=before, after=None if lost else after, note="vanished" if lost else "",
                )
            )  # fmt: skip
            if not label:
                break
    return rows


def _tables(folder: Path, rows: list[MetricRow]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    metric_tables.write(
        folder / "all.tsv", list({metric_tables.key(row): row for row in rows}.values())
    )
    names = ("metrics", "summary", "comparison")
    summarise(
        metrics=(folder / "all.tsv",),
        settings=SummariseSettings(summary=Summary(), models=MODELS),
        code="c",
        output=folder / "metrics.tsv",
        summary=folder / "summary.tsv",
        comparison=folder / "comparison.tsv",
        challenges=folder / "challenges.tsv",
    )
    metrics, summary, comparison = (
        pd.read_csv(
            folder / f"{name}.tsv",
            sep="\t",
            keep_default_na=False,
            na_values=[""],
            dtype={"fold": str},
        )
        for name in names
    )
    metrics["after"] = metrics["after"].where(metrics["note"] != "vanished", math.inf)
    summary["label"], metrics["label"] = summary["label"].fillna(""), metrics["label"].fillna("")
    return metrics, summary, comparison


PATIENTS = [f"q{i:02d}" for i in range(17)]
SEVERAL = [name for index, name in enumerate(PATIENTS) for _ in range(1 + index % 3)]
SUBJECTS = [f"{a}--{b}" for a, b in itertools.permutations(PATIENTS[:15], 2)]


@pytest.fixture(scope="module", params=[0, 1])
def single(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[pd.DataFrame, ...]:
    """A pair a patient, one label."""
    return _tables(tmp_path_factory.mktemp("single"), _rows(PATIENTS, request.param, 1))


@pytest.fixture(scope="module", params=[0, 1])
def several(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[pd.DataFrame, ...]:
    """Up to three pairs a patient, two labels."""
    return _tables(tmp_path_factory.mktemp("several"), _rows(SEVERAL, request.param, 2))


@pytest.fixture(scope="module", params=[0])
def subjects(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[pd.DataFrame, ...]:
    """Each of 15 subjects to each other."""
    return _tables(tmp_path_factory.mktemp("subjects"), _rows(SUBJECTS, request.param, 1))


def _median(values: pd.Series) -> float:
    ordered = np.sort(values.to_numpy())
    return float((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)


def test_medians_and_intervals_of_a_pair_a_patient(single: tuple[pd.DataFrame, ...]) -> None:
    metrics, summary, _ = single
    for line in summary[summary.fold == "all"].itertuples():
        rows = metrics[(metrics.model == line.model) & (metrics.metric == line.metric)]
        finite = np.nan_to_num(rows.after.to_numpy(), posinf=1e9)
        bounds: Any = stats.quantile_test(finite, p=0.5).confidence_interval(0.95)
        assert line.after_median == pytest.approx(_median(rows.after), abs=1e-9)
        assert np.nan_to_num([line.after_low, line.after_high], posinf=1e9) == pytest.approx(
            list(bounds), abs=1e-9
        )


def test_quartiles_and_means(several: tuple[pd.DataFrame, ...]) -> None:
    metrics, summary, _ = several
    for line in summary[
        (summary.fold == "all") & (summary.label == "") & (summary.role == "structure")
    ].itertuples():
        rows = metrics[(metrics.model == line.model) & (metrics.metric == line.metric)]
        expected = [rows.after.mean(), *rows.after.quantile([0.25, 0.75, 0.1, 0.9])]
        found = [line.after_mean, line.after_q1, line.after_q3, line.after_p10, line.after_p90]
        assert found == pytest.approx(expected, abs=1e-9)


def test_intervals_of_several_pairs_a_patient(several: tuple[pd.DataFrame, ...]) -> None:
    """All m with |below - above| - 1 <= 1.96 sqrt(sum over patients of (below - above) squared)."""
    metrics, summary, _ = several
    for line in summary[(summary.fold == "all") & (summary.label == "")].itertuples():
        rows = metrics[(metrics.model == line.model) & (metrics.metric == line.metric)]
        ordered = np.sort(rows.after.unique())
        signs = [np.where(rows.after <= value, 1, -1) for value in ordered]
        sums = [np.array([sign[rows.patient == name].sum() for name in PATIENTS]) for sign in signs]
        far = [
            abs(part.sum()) - 1 > stats.norm.ppf(0.975) * math.sqrt((part**2).sum())
            for part in sums
        ]
        kept = np.flatnonzero(~np.array(far))
        expected = (ordered[kept[0]], ordered[kept[-1] + 1])
        assert (line.after_low, line.after_high) == pytest.approx(expected, abs=1e-9)


def test_rates_of_worse_pairs(several: tuple[pd.DataFrame, ...]) -> None:
    metrics, summary, _ = several
    for line in summary[(summary.fold == "all") & (summary.label == "")].itertuples():
        rows = metrics[(metrics.model == line.model) & (metrics.metric == line.metric)]
        means = rows.groupby(["patient", "pair"])[["before", "after"]].mean()
        worse = means.after < means.before if line.metric == "dice" else means.after > means.before
        size = worse.groupby("patient").size()
        number = size.sum() ** 2 / (size**2).sum()
        failed = number * worse.mean()
        low = stats.beta.ppf(0.025, failed, number - failed + 1)
        high = stats.beta.ppf(0.975, failed + 1, number - failed)
        assert (line.worse_pairs, line.worse_rate) == pytest.approx((worse.sum(), worse.mean()))
        assert (line.worse_low, line.worse_high) == pytest.approx((low, high), abs=1e-9)


def _gains(metrics: pd.DataFrame, model: object, metric: object) -> pd.Series:
    """Each unit's median paired difference."""
    keys = ["patient", "pair", "label"]
    sides = [
        metrics[(metrics.metric == metric) & (metrics.model == name)] for name in (model, MODELS[0])
    ]
    both = sides[0].merge(sides[1], on=keys)
    with np.errstate(invalid="ignore"):
        gain = (both.after_x - both.after_y).fillna(0)  # both vanished
        middle = gain.groupby(both.patient).apply(_median)
    return middle.fillna(0)  # one vanished with either model


def _check_comparison(
    tables: tuple[pd.DataFrame, ...], p_value: Callable[[pd.Series], float]
) -> None:
    metrics, _, comparison = tables
    p_values = []
    for line in comparison.itertuples():
        gain = _gains(metrics, line.model, line.metric)
        p_values.append(p_value(gain))
        assert (line.units, line.difference) == pytest.approx((len(gain), _median(gain)), abs=1e-9)
        assert line.p == pytest.approx(p_values[-1], abs=1e-9)
    order = np.argsort(p_values)
    steps = (len(p_values) - np.arange(len(p_values))) * np.array(p_values)[order]
    adjusted = np.minimum(np.maximum.accumulate(steps), 1)
    np.testing.assert_allclose(comparison.p_holm.to_numpy()[order], adjusted, atol=1e-9)


def _signed_ranks(gain: pd.Series) -> pd.Series:
    kept = gain[gain != 0]
    return pd.Series(np.sign(kept) * stats.rankdata(np.abs(kept)), kept.index)


def test_comparison_of_patients(several: tuple[pd.DataFrame, ...]) -> None:
    def p_value(gain: pd.Series) -> float:
        ranks = _signed_ranks(gain).to_numpy()
        signs = np.array(list(itertools.product((1, -1), repeat=len(ranks))), dtype=np.float32)
        return float(
            np.mean(np.abs(signs @ np.abs(ranks).astype(np.float32)) >= abs(ranks.sum()) - 1e-3)
        )

    _check_comparison(several, p_value)


def test_p_of_finite_differences_is_scipys(several: tuple[pd.DataFrame, ...]) -> None:
    metrics, _, comparison = several
    for line in comparison[comparison.metric == "dice"].itertuples():
        gain = _gains(metrics, line.model, line.metric)
        assert line.p == pytest.approx(stats.wilcoxon(gain, method="exact").pvalue, abs=1e-9)
        bounds: Any = stats.quantile_test(gain, p=0.5).confidence_interval(0.95)
        assert (line.low, line.high) == pytest.approx(tuple(bounds), abs=1e-9)


def _shared(units: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Whether two units have a patient in common, and whether they are of the same two."""
    sets = [frozenset(unit.split("--")) for unit in units]
    common = np.array([[bool(a & b) for b in sets] for a in sets], dtype=float)
    return common, np.array([[a == b for b in sets] for a in sets], dtype=float)


def _degrees(units: list[str], common: np.ndarray) -> float:
    """Satterthwaite's degrees of freedom from the traces of dense matrices."""
    centre = np.eye(len(units)) - 1 / len(units)
    found = []
    for ends in ((0, 1), (0,), (1,)):
        member = np.array(
            [[name in [u.split("--")[e] for e in ends] for u in units] for name in PATIENTS],
            dtype=float,
        )
        spread = centre @ common @ centre @ member.T @ member
        found.append(np.trace(spread) ** 2 / np.trace(spread @ spread))
    return float(min(found))


def test_comparison_of_subjects(subjects: tuple[pd.DataFrame, ...]) -> None:
    def p_value(gain: pd.Series) -> float:
        ranks = _signed_ranks(gain)
        common, same = _shared(list(ranks.index))
        rest, count = ranks.to_numpy() - ranks.mean(), len(ranks)
        dyadic = rest @ common @ rest / (1 - common.sum() / count**2)
        alone = rest @ same @ rest / (1 - same.sum() / count**2)
        t = abs(ranks.sum()) / math.sqrt(max(dyadic, alone / 2))
        return float(2 * stats.t.sf(t, _degrees(list(ranks.index), common)))

    _check_comparison(subjects, p_value)
