"""The stage `publish`: a finished model's files become runs."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
import yaml

from tenter import addresses, finished, typed_tables
from tenter.errors import DataError, TenterError
from tenter.history import write_history
from tenter.measurement import metric_tables
from tenter.stages.publish import publish
from tenter.stages.start_tracking import start_tracking
from tenter.statistics.lines import ComparisonLine, SummaryLine
from tenter.tracking import Place
from tenter.tracking.store import client
from tenter.training import models

if TYPE_CHECKING:
    from mlflow.entities import Run

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports


def write_model(root: Path, fold: str) -> Path:
    folder = root / f"models/local/fold-{fold}"
    identity = {"settings": "s", "cohort": "c", "code": "k", "fold": fold}
    described = {"fold": fold, "settings": {"seed": 3}, "identity": identity, "trained_on": ["p"]}
    models.save(folder, {"weight": torch.zeros(2)}, described)
    write_history(folder / finished.HISTORY, [{"step": 5.0, "loss": 0.7, "val_tre_mm": 6.5}])
    return folder


def write_table(path: Path, record: type, lines: Sequence[Mapping[str, object]]) -> None:
    """A table of records; cells that a line lacks are empty."""
    columns = typed_tables.columns(record)
    cells = [[line.get(name) for name in columns] for line in lines]
    typed_tables.write_lines(path, columns, cells)


def write_summary(path: Path) -> None:
    lines = [
        {
            "fold": "0",
            "role": "structure",
            "metric": "dice",
            "unit": "1",
            "before_median": 0.6,
            "after_median": 0.8,
        },
        {
            "fold": "0",
            "role": "structure",
            "label": "gland",
            "metric": "dice",
            "unit": "1",
            "after_median": 0.1,
        },
        {
            "fold": "1",
            "role": "landmark",
            "metric": "tre",
            "unit": "mm",
            "after_median": "inf",
            "after_p90": 9.5,
        },
        {
            "fold": "all",
            "role": "landmark",
            "metric": "tre",
            "unit": "mm",
            "after_median": 4.25,
            "after_low": 3.5,
            "after_high": "inf",
            "n": 6,
            "patients": 5,
            "vanished": 2,
        },
        {"fold": "all", "role": "field", "metric": "folding", "unit": "%", "after_median": 0.0},
        {
            "fold": "all",
            "model": "local-posed",
            "role": "field",
            "metric": "folding",
            "unit": "%",
            "after_median": 9.0,
        },
    ]
    counts = dict.fromkeys(("n", "pairs", "patients", "vanished", "empty_before", "absent"), 4)
    start = {"model": "local", "set": "cv", "label": ""} | counts
    write_table(path, SummaryLine, [start | line for line in lines])


COMPARISON = {
    "set": "cv",
    "role": "landmark",
    "metric": "tre",
    "unit": "mm",
    "model": "local",
    "reference": "global",
    "pairs": 4,
    "patients": 4,
    "test_unit": "patient",
    "units": 4,
    "higher": 1,
    "lower": 3,
    "difference": -1.5,
    "low": -2.0,
    "high": 0.25,
    "p_holm": 0.04,
}


def write_results(root: Path) -> None:
    write_summary(root / "summary.tsv")
    write_table(root / "comparison.tsv", ComparisonLine, [COMPARISON])
    metric_tables.write(root / "metrics.tsv", [])
    (root / "report.html").write_text("<p>report</p>")
    (root / "cohort").mkdir(exist_ok=True)
    (root / "cohort/plan.json").write_text("{}")
    (root / "cohort/folds.tsv").write_text("patient\tfold\n")


def write_study(folder: Path, options: tuple[str, ...] = (), **tracking: str) -> Path:
    """A configuration, and a finished study's files,
    whose tracking database is `folder/mlflow.db`.
    """
    rows = "pair\tpatient\tmoving_image\tfixed_image\np\tP\tm\tf\nq\tQ\tn\tg\n"
    (folder / "pairs.tsv").write_text(rows)
    poses = {"poses": {"count": 2, "scale": 0.1}}
    content = {
        "study": "demo",
        "manifest": str(folder / "pairs.tsv"),
        "results": str(folder / "results"),
        "folds": {"count": 2},
        "models": {"local": {"final": True, "test_time": dict.fromkeys(options, poses)}},
        "tracking": {"uri": f"sqlite:///{folder}/mlflow.db"} | tracking,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    root = folder / "results/demo"
    for fold in ("0", "1", "all"):
        write_model(root, fold)
    write_results(root)
    return folder / "study.yaml"


def published(root: Path, options: tuple[str, ...] = ()) -> str:
    return publish(write_study(root, options))


def artifacts(place: Place, key: str, folder: str) -> set[str]:
    listing = client(place).list_artifacts(run(place, key).info.run_id, folder)
    return {Path(artifact.path).name for artifact in listing}


def run(place: Place, key: str) -> Run:
    (match,) = client(place).search_runs(["1"], f"tags.`tenter.key` = '{key}'")
    return match


def test_folds_and_model_carry_their_own_medians(place: Place, tmp_path: Path) -> None:
    published(tmp_path)
    zero = run(place, "local/0").data.metrics
    assert {name: zero[name] for name in zero if "test" in name} == {
        "test/structure_dice_median": 0.8,
        "test/structure_dice_vanished": 4.0,
        "baseline_test/structure_dice_median": 0.6,
    }
    assert run(place, "local").data.metrics == {
        "test/landmark_tre_mm_median": 4.25,
        "test/landmark_tre_mm_median_low": 3.5,
        "test/landmark_tre_mm_median_high": sys.float_info.max,
        "test/landmark_tre_mm_n": 6.0,
        "test/landmark_tre_mm_patients": 5.0,
        "test/landmark_tre_mm_vanished": 2.0,
        "test/field_folding_pct_median": 0.0,
        "test/field_folding_pct_n": 4.0,
        "test/field_folding_pct_patients": 4.0,
        "test/field_folding_pct_vanished": 4.0,
        "versus_reference/landmark_tre_mm_difference": -1.5,
        "versus_reference/landmark_tre_mm_difference_low": -2.0,
        "versus_reference/landmark_tre_mm_difference_high": 0.25,
        "versus_reference/landmark_tre_mm_p_holm": 0.04,
    }
    assert run(place, "local").data.tags["tenter.reference"] == "global"


def test_a_test_time_option_has_a_run_with_its_figures_beside_the_folds(
    place: Place, tmp_path: Path
) -> None:
    published(tmp_path, ("posed",))
    option_run = run(place, "local/test-time/local-posed")
    assert option_run.data.metrics["test/field_folding_pct_median"] == 9.0
    assert option_run.data.tags["role"] == "test-time"
    assert option_run.data.tags["mlflow.parentRunId"] == run(place, "local").info.run_id
    assert option_run.info.status == "FINISHED"


def test_an_option_that_is_gone_loses_its_run_and_one_that_stays_keeps_it(
    place: Place, tmp_path: Path
) -> None:
    published(tmp_path, ("posed", "old"))
    run_id = run(place, "local/test-time/local-posed").info.run_id
    published(tmp_path, ("posed",))
    assert run(place, "local/test-time/local-posed").info.run_id == run_id
    assert not client(place).search_runs(["1"], "tags.`tenter.key` = 'local/test-time/local-old'")


def test_an_infinite_median_is_a_metric_and_named_in_a_tag(place: Place, tmp_path: Path) -> None:
    published(tmp_path)
    fold_run = run(place, "local/1").data
    assert fold_run.tags["infinite"] == "test/landmark_tre_mm_median"
    assert fold_run.metrics["test/landmark_tre_mm_p90"] == 9.5
    assert fold_run.metrics["test/landmark_tre_mm_median"] == sys.float_info.max


def test_curves_and_files_are_there(place: Place, tmp_path: Path) -> None:
    published(tmp_path)
    final_run = run(place, "local/all")
    assert final_run.data.metrics == {"train/loss": 0.7, "val/tre_mm": 6.5}
    assert artifacts(place, "local/all", "model") == {
        "history.csv",
        "model.json",
        "model.safetensors",
    }


def test_the_text_is_returned_and_kept(place: Place, tmp_path: Path) -> None:
    text = published(tmp_path)
    text_file = (tmp_path / "results/demo/tracking/local.txt").read_text()
    assert text_file.rstrip() == text
    assert run(place, "local/0").info.run_id in text
    assert "local, 3 folds compared:" in text


def test_no_parameter_tag_or_metric_holds_a_path_of_this_machine(
    place: Place, tmp_path: Path
) -> None:
    published(tmp_path)
    del place
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        rows = [
            row
            for table in ("params", "tags", "metrics")
            for row in database.execute(f"select * from {table}")  # noqa: S608 - fixed names
        ]
    assert rows
    assert not [row for row in rows if str(tmp_path) in str(row) or str(Path.home()) in str(row)]


def test_the_model_carries_report_tables_cohort_and_configuration(
    place: Place, tmp_path: Path
) -> None:
    published(tmp_path)
    assert artifacts(place, "local", "") == {"report.html", "study", "tables"}
    assert artifacts(place, "local", "tables") == {"metrics.tsv", "summary.tsv", "comparison.tsv"}
    assert artifacts(place, "local", "study") == {"configuration.yaml", "plan.json", "folds.tsv"}


def test_the_configuration_among_the_artifacts_names_no_folder_of_this_machine(
    place: Place, tmp_path: Path
) -> None:
    published(tmp_path)
    downloaded = client(place).download_artifacts(
        run(place, "local").info.run_id, "study/configuration.yaml"
    )
    content = yaml.safe_load(Path(downloaded).read_text())
    assert content["manifest"] == "pairs.tsv"
    assert content["folds"] == {"count": 2, "seed": 0}


def test_a_deleted_database_is_written_again_from_the_configuration_alone(
    place: Place, tmp_path: Path
) -> None:
    published(tmp_path)
    before = {
        run.data.tags["tenter.key"]: run.data.metrics for run in client(place).search_runs(["1"])
    }
    (tmp_path / "mlflow.db").unlink()
    # In a process of its own: MLflow keeps its connection to a file, also to a deleted one.
    command = [sys.executable, "-m", "tenter.cli.main", "publish", str(tmp_path / "study.yaml")]
    subprocess.run(command, check=True, capture_output=True)
    rows = sqlite3.connect(tmp_path / "mlflow.db").execute(
        "SELECT t.value, m.key, m.value FROM latest_metrics m JOIN tags t USING (run_uuid) "
        "WHERE t.key = 'tenter.key'"
    )
    assert {
        (run, key, value) for run, metrics in before.items() for key, value in metrics.items()
    } == {*rows}


MISSING = [
    "report.html",
    "comparison.tsv",
    "metrics.tsv",
    "models/local/fold-1/model.json",
    "summary.tsv",
]


@pytest.mark.parametrize("name", MISSING)
def test_an_unfinished_study_is_not_published_and_told_how_to_finish(
    tmp_path: Path, name: str
) -> None:
    path = write_study(tmp_path)
    (tmp_path / "results/demo" / name).unlink()
    with pytest.raises(
        DataError, match=rf"{name}: is missing; finish the study first: snakemake .*study\.yaml"
    ):
        publish(path)


@pytest.mark.parametrize("models", [("none",), ("local", "none")])
def test_an_unknown_model_is_named_with_those_there_are(
    tmp_path: Path, models: tuple[str, ...]
) -> None:
    with pytest.raises(DataError, match="no model 'none'; name one that can be published: local"):
        publish(write_study(tmp_path), models=models)


STORES = [
    "http://user:s3cr3tpw@127.0.0.1:9",
    "http://user:s3cr3tpw@no-such-host.invalid",
    "https://s3cr3tpw@127.0.0.1:9/prefix",
    "postgresql://user:s3cr3tpw@127.0.0.1:9/mlflow",
    "http://user:s3cr3tpw@127.0.0.1:9/../page",
]


@pytest.mark.parametrize("uri", STORES)
def test_no_error_and_no_file_holds_the_password(
    tmp_path: Path, uri: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (addresses.VARIABLE, "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
    path = write_study(tmp_path, uri=uri)
    start_tracking(
        uri=uri,
        experiment="demo",
        study="demo",
        manifest=tmp_path / "pairs.tsv",
        output=tmp_path / "t.json",
    )
    with pytest.raises(TenterError) as caught:
        publish(path)
    messages = f"{caught.value} {caplog.text}"
    written = [file for file in tmp_path.rglob("*") if file.is_file() and file != path]
    assert "***@" in messages
    assert "MLFLOW_TRACKING_PASSWORD" in messages
    assert not [file for file in written if b"s3cr3tpw" in file.read_bytes()]
    assert "s3cr3tpw" not in messages
