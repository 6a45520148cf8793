from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tenter import files, provenance
from tenter.manifest import rows
from tenter.steps import steps
from tenter.study import Study
from tenter.tools.staleness import Staleness, counted, differences, listed

DIFFERENCES: list[tuple[object, object, list[str]]] = [
    ({"a": {"b": [{"weight": 1.0}]}}, {"a": {"b": [{"weight": 2.0}]}}, ["a.b.0.weight 1.0 -> 2.0"]),
    ({"a": None}, {"a": "x"}, ['a nothing -> "x"']),
    ({"a": 1, "b": 2}, {"b": 3}, ["a 1 -> nothing", "b 2 -> 3"]),
    ({"a": [1, 2]}, {"a": [1, 2, 3]}, ["a [1,2] -> [1,2,3]"]),
    ({"a": {"x": 1}}, {"a": {"x": 1}}, []),
    ({"a": {"name": "unet"}}, {"a": None}, ['a {"name":"unet"} -> nothing']),
]


@pytest.mark.parametrize(("old", "new", "expected"), DIFFERENCES)
def test_settings_are_compared_key_by_key(old: object, new: object, expected: list[str]) -> None:
    assert list(differences(old, new)) == expected


JSON = st.recursive(
    st.integers() | st.text("ab", max_size=2),
    lambda one: (
        st.lists(one, max_size=3) | st.dictionaries(st.text("ab", max_size=1), one, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON, JSON)
def test_settings_differ_exactly_where_a_difference_is_named(old: object, new: object) -> None:
    assert bool(list(differences(old, new))) == (old != new)


def test_a_long_list_names_the_first_and_counts_the_others() -> None:
    assert listed("abcde") == "a, b, c and 2 more"


def finished(folder: Path, **keys: Any) -> Path:
    """A study whose every step has an output and a record of today's settings,
    without any content.
    """
    for name in ("m0", "f0", "m1", "f1", "m2", "f2", "l"):
        (folder / name).write_text(name)
    header = "pair\tpatient\tmoving_image\tfixed_image\tmoving_labels\tfixed_labels"
    rows = [f"p{i}\tP{i}\tm{i}\tf{i}\tl\tl" for i in range(3)]
    (folder / "manifest.tsv").write_text("\n".join([header, *rows]) + "\n")
    content = {
        "study": "s",
        "manifest": "manifest.tsv",
        "results": str(folder / "r"),
        "folds": {"count": 2},
    }
    path = folder / "s.yaml"
    path.write_text(yaml.safe_dump(content | {"models": {"a": {}}} | keys))
    study = Study.load(path)
    study.cohort.record_folds(folder / "r/s/cohort/folds.tsv")
    for step in steps(study).values():
        for output in step.outputs:
            files.write_text(output, step.name)
            os.utime(output, (2e9, 2e9))
        if step.provenance is not None:
            record(study, step.name)
    return path


def record(study: Study, name: str) -> None:
    step = steps(study)[name]
    assert step.provenance is not None
    read = {
        "pairs": {
            pair.id: rows.compared(pair, study.cohort.manifest.parent, step.stage)
            for pair in step.pairs
        },
        "sources": {
            os.path.relpath(file, study.cohort.manifest.parent): files.sha256(file)
            for file in step.sources()
        },
        "inputs": {
            os.path.relpath(path, step.provenance.parent): files.sha256(path)
            for path in step.inputs
            if path.name != "history.csv"
        },
    }
    stage, model = step.settings_of
    provenance.record(
        step.provenance, stage, study.settings(stage, model), study.code(stage, model), read=read
    )


def lines(path: Path) -> list[str]:
    return Staleness(Study.load(path)).lines()


def edit(path: Path, **keys: object) -> None:
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | keys))


def test_a_finished_study_has_nothing_stale(tmp_path: Path) -> None:
    assert lines(finished(tmp_path)) == []


SETTINGS: list[tuple[dict[str, object], str]] = [
    (
        {"models": {"a": {"training": {"steps": 7}}}},
        "stale: settings of a: training.steps 10000 -> 7 (2 trainings)",
    ),
    (
        {"evaluation": {"threshold": 0.25}},
        "stale: settings of evaluate: evaluation.threshold 0.5 -> 0.25 (2 measured chunks)",
    ),
    ({"report": {"title": "T"}}, 'stale: settings of report: report.title "" -> "T" (the report)'),
    (
        {"summary": {"seed": 5}},
        "stale: settings of summarise: summary.seed 0 -> 5 (the statistics)",
    ),
    (
        {"export": {"inverse": True}},
        "stale: settings of a: export.inverse false -> true (2 registered chunks)",
    ),
]


@pytest.mark.parametrize(
    ("change", "expected"), SETTINGS, ids=[next(iter(item[0])) for item in SETTINGS]
)
def test_a_changed_setting_is_named_with_its_old_and_new_value(
    tmp_path: Path, change: dict[str, object], expected: str
) -> None:
    path = finished(tmp_path)
    edit(path, **change)
    assert lines(path)[0] == expected


def test_what_follows_is_counted_in_one_line(tmp_path: Path) -> None:
    path = finished(tmp_path)
    edit(path, models={"a": {"training": {"steps": 7}}})
    (last,) = lines(path)[1:]
    assert last == (
        "the next run repeats 2 trainings, 2 registered chunks, 2 measured chunks, "
        "the statistics, the report, 1 model in MLflow"
    )


def test_a_changed_row_is_named(tmp_path: Path) -> None:
    path = finished(tmp_path)
    (tmp_path / "m9").write_text("m0")
    text = (tmp_path / "manifest.tsv").read_text()
    (tmp_path / "manifest.tsv").write_text(text.replace("\tm0\t", "\tm9\t"))
    assert any("row of p0: moving " in line and '"m0" -> "m9"' in line for line in lines(path))


def test_a_removed_pair_is_named(tmp_path: Path) -> None:
    path = finished(tmp_path)
    kept = [
        line
        for line in (tmp_path / "manifest.tsv").read_text().splitlines()
        if not line.startswith("p2")
    ]
    (tmp_path / "manifest.tsv").write_text("\n".join(kept) + "\n")
    assert any("p2" in line or "no longer read" in line for line in lines(path))


def test_a_touched_file_changes_nothing_and_an_edited_one_is_named(tmp_path: Path) -> None:
    path = finished(tmp_path)
    os.utime(tmp_path / "m1", (3e9, 3e9))
    assert lines(path) == []
    (tmp_path / "m1").write_text("other")
    os.utime(tmp_path / "m1", (3e9, 3e9))
    assert lines(path)[0] == f"stale: changed file: {tmp_path / 'm1'} (1 chunk of prepared images)"


def test_changed_code_is_named_by_its_modules(tmp_path: Path) -> None:
    path = finished(tmp_path)
    place = tmp_path / "r/s/models/a/fold-0/provenance.json"
    content = files.read_json(place)
    content["modules"]["tenter.training.loop"] = "0"
    files.write_json(place, content | {"code": "0"})
    assert lines(path)[0] == (
        "stale: code of train: tenter.training.loop; "
        "harmless? `tenter accept train --help` (1 training)"
    )


def keep_of_records(path: Path, *names: str) -> None:
    for record in path.rglob("*provenance.json"):
        content = files.read_json(record)
        files.write_json(record, {name: content[name] for name in names})


def test_what_an_earlier_version_recorded_is_compared_as_far_as_it_goes(tmp_path: Path) -> None:
    path = finished(tmp_path)
    keep_of_records(tmp_path / "r", "stage", "code", "settings", "modules", "layout")
    assert lines(path) == []


def test_results_of_an_earlier_layout_are_stale_from_the_plan_on(tmp_path: Path) -> None:
    path = finished(tmp_path)
    keep_of_records(tmp_path / "r", "stage", "code", "settings", "modules")
    cause, repeated = lines(path)
    assert cause == "stale: results in the layout of an earlier version of tenter (the plan)"
    assert repeated.startswith("the next run repeats the plan, ")


def test_a_study_that_was_never_run_is_not_stale(tmp_path: Path) -> None:
    path = finished(tmp_path)
    edit(path, results=str(tmp_path / "elsewhere"))
    assert lines(path) == []


def test_jobs_are_counted_by_stage(tmp_path: Path) -> None:
    found = steps(Study.load(finished(tmp_path)))
    assert (
        counted([found["train a 0"], found["train a 1"], found["report"]])
        == "2 trainings, the report"
    )
