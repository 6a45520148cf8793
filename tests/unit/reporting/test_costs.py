"""What registration costs, and what it changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from builders import finished_study
from tenter import files
from tenter.reporting import costs
from tenter.reporting.costs import Cost, ModelCosts
from tenter.reporting.page import Table
from tenter.result_files import ResultFiles
from tenter.statistics.lines import Distribution, SummaryLine

KINDS = {"cv": "Cross-validated pairs", "test": "Test pairs"}
PLAIN = {"models": [{"fold": "0"}], "seconds": {"network": 0.25, "all": 0.5}, "device": "cpu"}
MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"


def figures(median: float | None) -> Distribution:
    return Distribution(median=median, q1=median, q3=median, low=None, high=None)


def line(model: str, role: str, metric: str, median: float | None, kind: str = "cv") -> SummaryLine:
    fields: dict[str, Any] = {
        "set": kind, "fold": "all", "label": "", "unit": "1", "n": 4, "pairs": 4, "patients": 4,
        "vanished": 0, "empty_before": 0, "absent": 0, "worse_pairs": 0, "worse_low": None,
        "worse_high": None,
    }  # fmt: skip
    return SummaryLine(
        model=model, role=role, metric=metric, before=figures(0.1), after=figures(median), **fields
    )


LINES = (
    line("unet", "structure", "dice", 0.812),
    line("unet", "landmark", "tre", 3.25),
    line("unet-posed", "structure", "dice", 0.823),
    line("unet-posed", "landmark", "tre", 3.11),
)


def of(model: str, *pairs: Cost, kind: str = "cv") -> ModelCosts:
    return ModelCosts(model=model, set=kind, pairs=pairs)


def table(*entries: ModelCosts, lines: tuple[SummaryLine, ...] = LINES, **options: str) -> Table:
    models = {option.replace("_", "-"): model for option, model in options.items()}
    section = costs.section(entries, lines, models, KINDS)
    assert section is not None
    return section.blocks[0].tables[0]


def test_a_plain_registration_tells_members_and_seconds() -> None:
    found = costs.cost(PLAIN)
    assert found == Cost(members=1, seconds=0.25, device="cpu")


def test_an_option_tells_what_it_did() -> None:
    refine = {"steps": 50, "best_step": 0, "loss_before": None, "loss_after": None, "failed_at": 3}
    said = PLAIN | {"models": [{}] * 3, "test_time": {"members": 3, "poses": 8, "refine": refine}}
    assert costs.cost(said) == Cost(
        members=3, poses=8, steps=50, refused=True, seconds=0.25, device="cpu"
    )


def test_what_an_earlier_version_did_not_tell_is_left_open() -> None:
    assert costs.cost({"models": [{"fold": "0"}]}) == Cost(members=1)
    assert costs.cost({"test_time": None}) == Cost(members=0)


def test_rows_hold_counts_and_the_median_of_seconds() -> None:
    plain = [Cost(members=1, seconds=value, device="cpu") for value in (0.2, 0.4, 9.0)]
    posed = [Cost(members=1, poses=8, seconds=3.0, device=device) for device in ("cpu", "cuda")]
    rows = table(of("unet", *plain), of("unet-posed", *posed), unet_posed="unet").rows
    assert rows[0][:7] == ("unet", "3", "1", "0", "0", "0.4", "cpu")
    assert rows[1][:7] == ("unet-posed", "2", "1", "8", "0", "3", "cpu and cuda")


def test_an_option_is_set_against_its_own_model_one_digit_finer() -> None:
    one = Cost(members=1)
    found = table(of("unet", one), of("unet-posed", one), unet_posed="unet")
    assert [column.title for column in found.columns[7:]] == ["Dice", "TRE (mm)"]
    assert {column.group for column in found.columns[7:]} == {
        "change of the median against the model alone"
    }
    assert [row[7:] for row in found.rows] == [(DASH, DASH), ("+0.011", f"{MINUS}0.14")]
    assert found.rows[0][5:7] == (DASH, DASH)


def test_without_options_there_is_no_column_of_changes() -> None:
    assert len(table(of("unet", Cost(members=1))).columns) == 7


def test_a_median_that_vanished_has_no_change() -> None:
    lines = (*LINES[:3], line("unet-posed", "landmark", "tre", float("inf")))
    one = Cost(members=1)
    found = table(of("unet", one), of("unet-posed", one), lines=lines, unet_posed="unet")
    assert [column.title for column in found.columns[7:]] == ["Dice"]


def test_refinements_that_failed_are_counted() -> None:
    own = [Cost(members=1, steps=50, refused=index == 0) for index in range(4)]
    assert "1 of 4 (25\N{NO-BREAK SPACE}%) by unet" in table(of("unet", *own)).note
    assert "ended in NaN or infinity" not in table(of("unet", *own[1:])).note


def test_sets_have_a_table_each_and_nothing_known_none() -> None:
    found = [of("unet", Cost(members=3), kind="test"), of("unet", Cost(members=1))]
    section = costs.section(found, LINES, {}, KINDS)
    assert section is not None
    assert [block.title for block in section.blocks] == ["Cross-validated pairs", "Test pairs"]
    assert [block.tables[0].rows[0][2] for block in section.blocks] == ["1", "3"]
    assert costs.section((), LINES, {}, KINDS) is None


def test_costs_are_read_in_the_order_of_the_models(tmp_path: Path) -> None:
    rows = [
        finished_study.row((model, "0", "cv", "p", "x"), ("", "field", "folding", "%"), None, 0.0)
        for model in ("zeta", "alpha", "unknown")
    ]
    for model in ("zeta", "alpha", "unknown"):
        files.write_json(tmp_path / f"fields/{model}/p/infer.json", PLAIN)
    found = costs.read(rows, ResultFiles.of(tmp_path), ("alpha", "zeta"))
    assert [(entry.model, entry.pairs[0].seconds) for entry in found] == [
        ("alpha", 0.25),
        ("zeta", 0.25),
    ]


def test_a_pair_without_a_record_of_its_registration_costs_nothing_known(tmp_path: Path) -> None:
    row = finished_study.row(
        ("unet", "0", "cv", "p", "x"), ("", "field", "folding", "%"), None, 0.0
    )
    assert costs.read([row], ResultFiles.of(tmp_path), ("unet",)) == ()
