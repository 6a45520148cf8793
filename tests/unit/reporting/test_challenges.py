"""The report's section of challenges: its figures, and what is said of their rules."""

from __future__ import annotations

from pathlib import Path

from builders.finished_study import rows, write_report, write_study
from tenter.metrics.definitions import of_family
from tenter.records import MetricRow
from tenter.reporting import challenges, words
from tenter.statistics.challenge_scores import Aggregate


def line(
    family: str, metric: str, after: float | None, unregistered: float | None = None
) -> Aggregate:
    return Aggregate(
        model="local", set="cv", fold="all", family=family, metric=metric, unit="voxel",
        aggregate="mean" if family == "learn2reg" else "cohort", arithmetic="", cases=7,
        before=None, after=after, unregistered=unregistered,
    )  # fmt: skip


def test_without_figures_there_is_no_section() -> None:
    assert challenges.section([]) is None


def test_each_challenge_has_its_figures_and_its_deviations() -> None:
    found = challenges.section([line("muregpro", "tre", 2.0, 8.0), line("learn2reg", "hd95", 3.25)])
    assert found is not None
    assert [len(block.tables) for block in found.blocks] == [2, 2]
    first, second = (block.tables[0].rows for block in found.blocks)
    assert first == (("hd95, mean", "local", "cv", "7", "voxel", words.NONE, "3.250"),)
    assert second == (("tre", "local", "cv", "7", "voxel", words.NONE, "2.000", "8.000", "0.250"),)


def test_what_vanished_is_infinite() -> None:
    found = challenges.section([line("learn2reg", "hd95", float("inf"))])
    assert found is not None
    assert found.blocks[0].tables[0].rows[0][-1] == "infinite"


def test_every_figure_that_deviates_is_one_that_is_measured() -> None:
    aggregated = {"rtre", "rts", "score", "whole numbers", "30"}
    for name in ("learn2reg", "muregpro"):
        known = {metric.name.removeprefix(f"{name}_") for metric in of_family(name)} | aggregated
        told = {
            part
            for item in challenges.FAMILIES[name].deviations
            for part in item.figure.split(", ")
        }
        assert told <= known


def with_challenges(found: list[MetricRow]) -> list[MetricRow]:
    copies = [
        MetricRow(
            **{name: getattr(row, name) for name in row.__slots__}
            | {"metric": f"learn2reg_{row.metric}"}
        )
        for row in found
        if row.metric == "dice" and row.after is not None
    ]
    return [*found, *copies]


def test_figures_of_challenges_change_nothing_else_on_the_page(tmp_path: Path) -> None:
    found = rows()
    write_study(tmp_path / "a", found)
    write_study(tmp_path / "b", with_challenges(found))
    plain, more = write_report(tmp_path / "a"), write_report(tmp_path / "b")
    start, end = more.index('<section id="challenges"'), more.index('<section id="origin"')
    assert "Challenge metrics" not in plain
    assert "Challenge metrics" in more
    assert more.count("learn2reg") == more[start:end].count("learn2reg")
    for name in ("summary.tsv", "comparison.tsv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
