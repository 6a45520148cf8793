"""What a finished study holds: results, provenance, tracking, status,
and ways to keep or drop them.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import mlflow

from builders.clones import Clone, jobs
from tenter import files, folds


def tenter(study: Clone, *words: str) -> tuple[int, str, str]:
    done = study.tool(sys.executable, "-m", "tenter.cli.main", *words)
    return done.returncode, done.stdout, done.stderr


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_every_pair_is_measured_once_by_each_model(finished: Clone) -> None:
    rows = [row for row in table(finished.results / "metrics.tsv") if row["metric"] == "folding"]
    pairs = [line.split("\t")[0] for line in finished.manifest.read_text().splitlines()[1:]]
    assert sorted((row["model"], row["pair"]) for row in rows) == sorted(
        (model, pair) for model in "ab" for pair in pairs
    )


def test_nobody_is_measured_by_a_model_that_saw_them(finished: Clone) -> None:
    for row in table(finished.results / "metrics.tsv"):
        described = files.read_json(
            finished.results / f"models/{row['model']}/fold-{row['fold']}/model.json"
        )
        known = {*described["patients"]["trained_on"], *described["patients"]["validated_on"]}
        assert row["patient"] not in known


def test_provenance_lies_beside_every_declared_output(finished: Clone) -> None:
    patterns = ("cases/tables/*.tsv", "fields/tables/*/*.tsv", "metrics/*/*.tsv")
    tables = [path for pattern in patterns for path in finished.results.glob(pattern)]
    assert len(tables) == 6 + 6 + 6
    for path in [*tables, finished.results / "report.html", finished.results / "cohort/plan.json"]:
        assert path.with_name(f"{path.name}.provenance.json").is_file(), path
    assert len(list(finished.results.glob("models/*/fold-*/provenance.json"))) == 6


def test_the_lock_file_and_its_copy_agree(finished: Clone) -> None:
    lock = folds.read_lock(finished.config.with_suffix(".folds.tsv"))
    assert lock == folds.read_lock(finished.results / "cohort/folds.tsv")


def test_mlflow_has_one_current_run_a_fold_under_each_model(finished: Clone) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{finished.results}/tracking/mlflow.db")
    experiment = client.get_experiment_by_name("trial")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    roles = sorted(run.data.tags.get("role", "") for run in runs)
    assert roles == ["cv", "cv", *["fold"] * 6]


def runs_by_key(finished: Clone) -> list[str]:
    client = mlflow.MlflowClient(f"sqlite:///{finished.results}/tracking/mlflow.db")
    return sorted(run.data.tags["tenter.key"] for run in client.search_runs(["1"]))


def test_a_deleted_database_is_written_again_by_the_same_command(finished: Clone) -> None:
    before = runs_by_key(finished)
    (finished.results / "tracking/mlflow.db").unlink()
    done = finished.run()
    assert done.returncode == 0, done.stderr
    assert jobs(done.stdout + done.stderr) == {"publish a", "publish b"}
    assert done.stderr.count("workflowType=machine_learning") == 5
    assert runs_by_key(finished) == before
    assert finished.stale() == set()


def test_the_end_says_how_to_look_at_it(finished: Clone) -> None:
    text = (finished.results / "tracking/a.txt").read_text()
    assert "mlflow ui --backend-store-uri" in text
    assert "compare-runs" in text


def test_status_tells_what_is_done_and_verifies_every_file(finished: Clone) -> None:
    code, told, _ = tenter(finished, "status", "config/trial.yaml", "--verify")
    assert code == 0
    assert "a, fold 2: trained (3 steps)" in told
    assert "all as they were written" in told


def test_a_damaged_case_is_found_and_named(finished: Clone) -> None:
    damaged = next((finished.results / "cases").glob("*/moving.nii"))
    with finished.edited(damaged) as path:
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        code, _, error = tenter(finished, "status", "config/trial.yaml", "--verify")
    assert code == 3
    assert f"{damaged.parent.name}: " in error


def test_snakemakes_own_report_holds_the_tables_and_the_page(
    finished: Clone, tmp_path: Path
) -> None:
    done = finished.run("--report", str(tmp_path / "report.html"))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "report.html").read_text()
    assert all(name in page for name in ("summary.tsv", "comparison.tsv", "report.html"))


def test_an_accepted_change_of_code_keeps_results(finished: Clone) -> None:
    accepted = finished.config.with_name("trial.accepted.json")
    with finished.edited(finished.root / "src/tenter/training/loop.py") as path:
        path.write_text(path.read_text() + "\nEDITED = 1\n")
        assert "train a 0" in finished.stale()
        code, told, error = tenter(
            finished,
            "accept",
            "train",
            "config/trial.yaml",
            "--reason",
            "adds a constant that nobody reads",
        )
        try:
            assert (code, error) == (0, "")
            assert "6 results of train are kept" in told
            assert finished.stale() == {"report", "publish a", "publish b"}
        finally:
            accepted.unlink(missing_ok=True)


def test_results_of_a_removed_model_are_listed_not_mixed_in(finished: Clone) -> None:
    content = finished.config.read_text()
    with finished.edited(finished.config) as path:
        path.write_text(content[: content.index("  b:")] + content[content.index("summary:") :])
        code, told, _ = tenter(finished, "prune", "config/trial.yaml")
    assert code == 0
    assert "results/trial/models/b" in told
    assert "would remove" in told
    assert (finished.results / "models/b").is_dir()
