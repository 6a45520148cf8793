from __future__ import annotations

from pathlib import Path

from builders import finished_study
from tenter import files
from tenter.reporting import origins
from tenter.result_files import ResultFiles, Source


def test_accepted_changes_are_shown_with_their_reason(tmp_path: Path) -> None:
    change = {
        "stage": "train",
        "now": "b" * 16,
        "then": "a" * 16,
        "results": 3,
        "reason": "only words",
        "when": "2026",
    }
    path = tmp_path / "study.accepted.json"
    files.write_json(path, [change])
    table = origins.accepted(path)
    assert table is not None
    assert table.rows == (("train", "2026", "3", "a" * 10, "b" * 10, "only words"),)


def test_without_accepted_changes_there_is_no_table(tmp_path: Path) -> None:
    assert origins.accepted(None) is None
    assert origins.accepted(tmp_path / "absent.json") is None


def test_networks_are_named_by_their_fingerprints(tmp_path: Path) -> None:
    finished_study.write_histories(tmp_path / "models", ("local",), 2, steps=100)
    table = origins.models(ResultFiles.of(tmp_path), ("local",))
    assert table is not None
    assert [row[:6] for row in table.rows] == [
        ("local", "0", "40", "100", "1.5\N{NO-BREAK SPACE}h", "0.1.0"),
        ("local", "1", "40", "100", "1.5\N{NO-BREAK SPACE}h", "0.1.0"),
    ]


def test_a_study_that_trained_nothing_has_no_networks(tmp_path: Path) -> None:
    assert origins.models(ResultFiles.of(tmp_path), ("local",)) is None


def test_files_are_named_with_size_and_hash(tmp_path: Path) -> None:
    path = tmp_path / "metrics.tsv"
    path.write_text("x" * 1234)
    sources = (
        Source(path=path, made_by="tenter summarise"),
        Source(path=tmp_path / "gone", made_by="tenter plan"),
    )
    table = origins.made(sources, tmp_path)
    assert table.rows == (
        (
            "metrics.tsv",
            "tenter summarise",
            "1\N{NARROW NO-BREAK SPACE}234",
            files.sha256(path)[:10],
        ),
    )


def test_a_file_outside_the_results_is_named_without_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "elsewhere" / "plan.json"
    files.write_json(path, {})
    table = origins.made([Source(path=path, made_by="tenter plan")], tmp_path / "results")
    assert table.rows[0][0] == "plan.json"
