from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenter import files
from tenter.errors import InputError
from tenter.study import Study


def write_study(folder: Path, rows: list[str] | None = None, **keys: Any) -> Path:
    rows = rows or [f"p{i}\tP{i // 2}\tm{i}\tf{i}\tcv" for i in range(8)]
    header = "pair\tpatient\tmoving_image\tfixed_image\tset"
    (folder / "manifest.tsv").write_text("\n".join([header, *rows]) + "\n")
    path = folder / "trial.yaml"
    content = {
        "study": "trial",
        "manifest": "manifest.tsv",
        "models": {"a": {}},
        "folds": {"count": 2},
    } | keys
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_fold_is_trained_on_the_others_and_on_set_train(tmp_path: Path) -> None:
    rows = [f"p{i}\tP{i}\tm{i}\tf{i}\t{'cv' if i < 4 else 'train'}" for i in range(5)]
    study = Study.load(write_study(tmp_path, rows))
    assert study.training_chunks("0") == ["1-0", "train-0"]


def test_the_final_fold_is_trained_on_everything(tmp_path: Path) -> None:
    study = Study.load(write_study(tmp_path, models={"a": {"final": True}}))
    assert study.training_chunks("all") == ["0-0", "1-0"]
    assert study.trained_folds("a") == ["0", "1", "all"]


def test_set_train_is_never_registered(tmp_path: Path) -> None:
    rows = [f"p{i}\tP{i}\tm{i}\tf{i}\t{kind}" for i, kind in enumerate(["cv", "cv", "train", "test"])]
    assert Study.load(write_study(tmp_path, rows)).registered_chunks() == ["0-0", "1-0", "test-0"]


def test_a_tested_chunk_is_registered_by_all_folds(tmp_path: Path) -> None:
    rows = [f"p{i}\tP{i}\tm{i}\tf{i}\t{kind}" for i, kind in enumerate(["cv", "cv", "test"])]
    study = Study.load(write_study(tmp_path, rows))
    folders = [Path(f"models/a/fold-{fold}") for fold in "01"]
    assert study.members(Path("models"), "a", "test-0") == folders
    assert study.members(Path("models"), "a", "1-0") == folders[1:]


def test_settings_of_a_stage_hold_what_it_reads_and_nothing_else(tmp_path: Path) -> None:
    study = Study.load(write_study(tmp_path))
    assert set(json.loads(study.settings("evaluate"))) == {"labels", "evaluation", "warped_labels"}


def test_where_work_runs_is_in_no_settings(tmp_path: Path) -> None:
    one = Study.load(write_study(tmp_path))
    before = one.settings("train", "a")
    other = Study.load(write_study(tmp_path, runtime={"device": "cpu", "log_every": 7, "threads": 4}))
    assert other.settings("train", "a") == before


def test_a_finished_model_makes_every_pair_a_tested_one(tmp_path: Path) -> None:
    model = tmp_path / "other/models/best/fold-1"
    files.write_json(model / "model.json", {"network": {"name": "unet"}})
    study = Study.load(write_study(tmp_path, models={}, model="other/models/best"))
    assert list(study.chunks) == ["test-0"]
    assert study.registering_models == ["best"]
    assert study.applied_members == (model,)


def test_a_finished_model_that_is_not_there_is_told(tmp_path: Path) -> None:
    study = Study.load(write_study(tmp_path, models={}, model="nowhere"))
    with pytest.raises(InputError, match="no finished model in"):
        _ = study.applied_members


def test_the_lock_keeps_folds_where_they_are(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    study = Study.load(path)
    flipped = {patient: 1 - fold for patient, fold in study.assignment.items()}
    files.write_text(study.lock, "patient\tfold\n" + "".join(f"{p}\t{f}\n" for p, f in flipped.items()))
    assert Study.load(path).assignment == flipped


def test_the_light_wing_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'mlflow', 'SimpleITK', 'nibabel', 'pandas', 'numpy', 'scipy', 'matplotlib'}"
    script = f"import sys, tenter, tenter.study; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
