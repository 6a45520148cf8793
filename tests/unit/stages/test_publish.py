"""The stage `publish`: a finished model's files become runs."""

from __future__ import annotations

import csv
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from tenter.stages import summarise
from tenter.stages.publish import publish
from tenter.tracking import Place
from tenter.tracking.place import client
from tenter.training import models
from tenter.training.recorder import write_history

if TYPE_CHECKING:
    from mlflow.entities import Run

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports


def write_model(root: Path, fold: str) -> Path:
    folder = root / f"models/local/fold-{fold}"
    identity = {"settings": "s", "cohort": "c", "code": "k", "fold": fold}
    described = {"fold": fold, "settings": {"seed": 3}, "identity": identity, "trained_on": ["p"]}
    models.save(folder, {"weight": torch.zeros(2)}, described)
    write_history(folder / models.HISTORY, [{"step": 5.0, "loss": 0.7, "val_tre_mm": 6.5}])
    return folder


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
            "vanished": 2,
        },
        {"fold": "all", "role": "field", "metric": "folding", "unit": "%", "after_median": 0.0},
        {
            "fold": "all",
            "model": "global",
            "role": "field",
            "metric": "folding",
            "unit": "%",
            "after_median": 9.0,
        },
    ]
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, summarise.SUMMARY, delimiter="\t", restval="")
        writer.writeheader()
        writer.writerows({"model": "local", "set": "cv"} | line for line in lines)


def published(root: Path, options: tuple[str, ...] = ()) -> str:
    write_summary(root / "summary.tsv")
    (root / "metrics.tsv").write_text("model\n")
    return publish(
        tracking=root / "tracking.json",
        model="local",
        models=tuple(write_model(root, fold) for fold in ("0", "1", "all")),
        options=options,
        metrics=root / "metrics.tsv",
        summary=root / "summary.tsv",
        output=root / "tracking" / "local.txt",
    )


def run(place: Place, key: str) -> Run:
    (found,) = client(place).search_runs(["1"], f"tags.`tenter.key` = '{key}'")
    return found


def test_folds_and_model_carry_their_own_medians(place: Place, tmp_path: Path) -> None:
    published(tmp_path)
    zero = run(place, "local/0").data.metrics
    assert {name: zero[name] for name in zero if "test" in name} == {
        "test/structure_dice_median": 0.8,
        "baseline_test/structure_dice_median": 0.6,
    }
    assert run(place, "local").data.metrics == {
        "test/landmark_tre_mm_median": 4.25,
        "test/landmark_tre_mm_vanished": 2.0,
        "test/field_folding_pct_median": 0.0,
    }


def test_a_test_time_option_has_a_run_with_its_figures_beside_the_folds(place: Place, tmp_path: Path) -> None:
    published(tmp_path, ("global",))
    found = run(place, "local/test-time/global")
    assert found.data.metrics == {"test/field_folding_pct_median": 9.0}
    assert found.data.tags["role"] == "test-time"
    assert found.data.tags["mlflow.parentRunId"] == run(place, "local").info.run_id
    assert found.info.status == "FINISHED"


def test_an_option_that_is_gone_loses_its_run_and_one_that_stays_keeps_it(
    place: Place, tmp_path: Path
) -> None:
    published(tmp_path, ("global", "old"))
    kept = run(place, "local/test-time/global").info.run_id
    published(tmp_path, ("global",))
    assert run(place, "local/test-time/global").info.run_id == kept
    assert not client(place).search_runs(["1"], "tags.`tenter.key` = 'local/test-time/old'")


def test_what_could_not_be_measured_is_counted(place: Place, tmp_path: Path) -> None:
    published(tmp_path)
    one = run(place, "local/1").data
    assert one.tags["tenter.nonfinite"] == "1"
    assert one.metrics["test/landmark_tre_mm_p90"] == 9.5
    assert "test/landmark_tre_mm_median" not in one.metrics


def test_curves_and_files_are_there(place: Place, tmp_path: Path) -> None:
    published(tmp_path)
    found = run(place, "local/all")
    assert found.data.metrics == {"train/loss": 0.7, "val/tre_mm": 6.5}
    names = {item.path for item in client(place).list_artifacts(found.info.run_id, "model")}
    assert names == {"model/model.safetensors", "model/model.json", "model/history.csv"}


def test_the_text_is_returned_and_kept(place: Place, tmp_path: Path) -> None:
    text = published(tmp_path)
    assert (tmp_path / "tracking/local.txt").read_text() == text
    assert run(place, "local/0").info.run_id in text
    assert "local: 3 folds" in text


def test_no_parameter_tag_or_metric_holds_a_path_of_this_machine(place: Place, tmp_path: Path) -> None:
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
