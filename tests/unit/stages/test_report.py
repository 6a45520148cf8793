from __future__ import annotations

import re
from pathlib import Path

import pytest

from builders import finished_study
from tenter import files
from tenter.cases import plans
from tenter.cli.commands import COMMANDS
from tenter.errors import DataError
from tenter.measurement import metric_tables
from tenter.provenance import ACCEPTED
from tenter.records import Plan

SECTIONS = [
    "result",
    "cohort",
    "distributions",
    "examples",
    "details",
    "failures",
    "deformation",
    "training",
    "definitions",
    "origin",
]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return finished_study.write_study(
        tmp_path / "results", finished_study.rows(4, 3, surfaces=False)
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with every file that the report can use, and its report; only to be read."""
    root = finished_study.write_study(tmp_path_factory.mktemp("whole"), finished_study.rows(seed=3))
    for pair, _ in finished_study.cohort(12, 9):
        finished_study.write_case(root, pair, (12, 14, 10))
        finished_study.write_field(root, "local", pair, (12, 14, 10))
    finished_study.write_report(root, examples=2)
    return root


@pytest.fixture(scope="module")
def page(whole: Path) -> str:
    return (whole / "report.html").read_text(encoding="utf-8")


def keys(page: str) -> list[str]:
    return re.findall(r'<section id="(\w+)"', page)


def test_the_report_has_every_section(page: str) -> None:
    assert keys(page) == SECTIONS


def test_two_models_are_compared(tmp_path: Path) -> None:
    models = ("local", "unet")
    root = finished_study.write_study(
        tmp_path, finished_study.rows(4, 3, models=models, surfaces=False), models=models
    )
    assert "models" in keys(finished_study.write_report(root, models=models))


def test_the_report_is_the_same_each_time(study: Path) -> None:
    assert finished_study.write_report(study) == finished_study.write_report(study)


def test_each_source_file_is_shown_with_what_made_it(page: str) -> None:
    table = page.partition("Files behind this page")[2].partition("</table>")[0]
    cells = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", table)
    makers = {
        name: cells[cells.index(name) + 1] for name in cells if name.endswith((".tsv", ".json"))
    }
    assert makers == {
        "metrics.tsv": "tenter summarise",
        "summary.tsv": "tenter summarise",
        "comparison.tsv": "tenter summarise",
        "cohort/plan.json": "tenter plan",
        "cohort/folds.tsv": "the workflow, before the first job",
    }
    commands = re.findall(r"\btenter ([\w-]+)", " ".join(makers.values()))
    assert set(commands) <= COMMANDS.keys()


def test_titles_are_escaped(study: Path) -> None:
    page = finished_study.write_report(study, title="<img src=x onerror=alert(1)>")
    assert "<img" not in page
    assert "&lt;img src=x" in page


def test_pairs_named_like_tags_are_escaped(tmp_path: Path) -> None:
    rows = [
        finished_study.row(
            ("local", "0", "cv", "<b>pair", "<i>p"), ("gland", "structure", "dice", "1"), 0.9, 0.2
        )
    ]
    page = finished_study.write_report(finished_study.write_study(tmp_path, rows))
    assert "<b>pair" not in page
    assert "&lt;b&gt;pair" in page


def test_no_path_of_this_machine_is_shown(whole: Path, page: str) -> None:
    assert not re.findall(rf"{re.escape(str(whole))}|{re.escape(str(Path.home()))}", page)


def test_pictures_are_drawn_of_pairs_whose_files_are_there(page: str) -> None:
    assert page.count("Moving, registered") == 2
    assert "No picture" not in page


def test_costs_are_told_of_pairs_whose_files_tell_them(tmp_path: Path) -> None:
    models = ("local", "local-posed")
    root = finished_study.write_study(
        tmp_path, finished_study.rows(4, 3, models=models, surfaces=False), models=models
    )
    sidecar = {"models": [{"fold": "0"}], "seconds": {"network": 0.125}, "device": "cpu"}
    files.write_json(root / "fields/local/pair000/infer.json", {"models": [{"fold": "0"}]})
    option = {"members": 1, "poses": 8, "refine": None}
    for pair, _ in finished_study.cohort(4, 3):
        files.write_json(
            root / f"fields/local-posed/{pair}/infer.json", sidecar | {"test_time": option}
        )
    page = finished_study.write_report(root, models=models, options=(("local-posed", "local"),))
    costs = page.partition('<section id="costs">')[2].partition("</section>")[0]
    rows = [
        re.findall(r">([^<]+)</t[hd]>", row)
        for row in re.findall(r"<tr>(<th scope=\"row\".*?)</tr>", costs)
    ]
    dash = "\N{EN DASH}"
    assert rows[0][:7] == ["local", "1", "1", "0", "0", dash, dash]
    assert rows[1][:7] == ["local-posed", "4", "1", "8", "0", "0.125", "cpu"]
    assert dash not in rows[1]


def test_a_missing_case_is_said_in_place_of_its_picture(study: Path) -> None:
    assert finished_study.write_report(study, examples=2).count("No picture") == 2


def test_out_of_fold_figures_are_called_so(page: str) -> None:
    assert "Figures of cross-validated pairs are out-of-fold" in page


def test_an_applied_cohort_without_labels_reads_well(tmp_path: Path) -> None:
    rows = [
        finished_study.row(
            ("local", "ensemble", "test", f"pair{k}", f"p{k}"),
            ("", "field", metric, unit),
            0.0,
            0.1 * k,
        )
        for k in range(5)
        for metric, unit in (("folding", "%"), ("sd_log_jacobian", "1"))
    ]
    root = finished_study.write_study(tmp_path, rows, folds=1)
    page = finished_study.write_report(root, examples=3)
    assert "how well they match is not known" in page
    assert "Smoothest deformation of model local: pair0" in page
    assert "Roughest deformation of model local: pair4" in page
    assert "Best pair" not in page
    assert "nothing on this page says how accurate" in page
    assert "out-of-fold:" not in page.partition('id="definitions"')[0]
    assert not {"distributions", "details", "failures"} & set(keys(page))


def test_a_model_that_learnt_nothing_and_validation_on_one_pair_are_said_so(tmp_path: Path) -> None:
    root = finished_study.write_study(tmp_path, finished_study.rows())
    folder = root / "models/local/fold-1"
    files.write_text(
        folder / "history.csv", "step,loss\n" + "".join(f"{k},0.43\n" for k in range(50, 900, 50))
    )
    described = files.read_json(folder / "model.json")
    files.write_json(folder / "model.json", described | {"validated_on": ["pair007"]})
    page = finished_study.write_report(root)
    assert (
        page.count(
            "the training loss did not fall in fold 1 (0.43 at the beginning, 0.43 at the end)"
        )
        == 2
    )
    assert "Validation of fold 1 is on a single pair" in page


def test_tested_pairs_are_shown_by_the_ensemble_and_by_each_fold(tmp_path: Path) -> None:
    rows = [
        finished_study.row(
            ("local", fold, "test", f"pair{k}", f"p{k}"),
            ("gland", "structure", "dice", "1"),
            0.5,
            0.7,
        )
        for fold in ("0", "1", "ensemble")
        for k in range(3)
    ]
    page = finished_study.write_report(finished_study.write_study(tmp_path, rows))
    assert "3 points of 3 pairs" in page
    assert ">ensemble</th>" in page


def test_a_cohort_without_any_figure_still_gives_a_page(tmp_path: Path) -> None:
    page = finished_study.write_report(finished_study.write_study(tmp_path, [], folds=1))
    assert keys(page)[0] == "result"


def test_accepted_changes_of_code_are_shown(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change = {
        "stage": "train",
        "now": "b",
        "then": "a",
        "results": 1,
        "reason": "renamed a variable",
        "when": "2026",
    }
    files.write_json(study / "accepted.json", [change])
    monkeypatch.setenv(ACCEPTED, str(study / "accepted.json"))
    assert "renamed a variable" in finished_study.write_report(study)


def test_a_damaged_table_is_named(study: Path) -> None:
    (study / "metrics.tsv").write_text("nonsense\n")
    with pytest.raises(DataError, match=r"metrics\.tsv"):
        finished_study.write_report(study)


def test_every_vanished_label_is_counted(whole: Path, page: str) -> None:
    lost = [
        row for row in metric_tables.read(whole / "metrics.tsv") if row.metric == "tre" and row.note
    ]
    assert lost
    assert f"vanished: {len(lost)}" in page
    assert all(f">{row.pair}</th>" in page for row in lost)


def test_a_coarse_plan_is_shown_as_it_is(study: Path) -> None:
    plans.write_plan(
        study / "cohort" / "plan.json", Plan((8, 9, 10), (3.0, 3.0, 5.0), "minmax", "file")
    )
    page = finished_study.write_report(study)
    assert "by a transform given for each pair" in page
    assert "minmax" in page


def test_rows_of_models_that_are_not_configured_are_left_out(tmp_path: Path) -> None:
    models = ("local", "old")
    rows = finished_study.rows(4, 3, models=models, surfaces=False)
    root = finished_study.write_study(tmp_path, rows, models=models)
    assert "Model old" not in finished_study.write_report(root, models=("local",))
