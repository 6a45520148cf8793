from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders import new_patient
from tenter import files
from tenter.config import Runtime
from tenter.errors import InputError
from tenter.launching import job_flags
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
    assert study.cohort.training_chunks("0") == ["1-0", "train-0"]


def test_the_final_fold_is_trained_on_everything(tmp_path: Path) -> None:
    study = Study.load(write_study(tmp_path, models={"a": {"final": True}}))
    assert study.cohort.training_chunks("all") == ["0-0", "1-0"]
    assert study.trained_folds("a") == ["0", "1", "all"]


def test_set_train_is_never_registered(tmp_path: Path) -> None:
    rows = [
        f"p{i}\tP{i}\tm{i}\tf{i}\t{kind}" for i, kind in enumerate(["cv", "cv", "train", "test"])
    ]
    assert Study.load(write_study(tmp_path, rows)).cohort.registered_chunks() == [
        "0-0",
        "1-0",
        "test-0",
    ]


def test_a_tested_chunk_is_registered_by_all_folds(tmp_path: Path) -> None:
    rows = [f"p{i}\tP{i}\tm{i}\tf{i}\t{kind}" for i, kind in enumerate(["cv", "cv", "test"])]
    study = Study.load(write_study(tmp_path, rows))
    folders = [Path(f"models/a/fold-{fold}") for fold in "01"]
    assert study.members(Path("models"), "a", "test-0") == folders
    assert study.members(Path("models"), "a", "1-0") == folders[1:]


def with_options(folder: Path) -> Study:
    rows = [f"p{i}\tP{i}\tm{i}\tf{i}\t{kind}" for i, kind in enumerate(["cv", "cv", "test"])]
    refine: dict[str, object] = {"refine": {"images": [{"name": "lncc"}]}}
    options = {"seeds": {"ensemble": True}, "refined": refine}
    models = {"a": {"seeds": [0, 3], "test_time": options}, "b": {"network": {"name": "unet"}}}
    return Study.load(write_study(folder, rows, models=models))


def test_options_register_after_their_models_seeds_and_train_nothing(tmp_path: Path) -> None:
    study = with_options(tmp_path)
    assert list(study.registrars) == ["a", "a-seed3", "a-refined", "a-seeds", "b"]
    assert list(study.models) == ["a", "a-seed3", "b"]
    assert study.options_of("a") == ["a-refined", "a-seeds"]
    assert study.options_of("a-seed3") == study.options_of("b") == []


def test_an_ensemble_of_seeds_is_of_the_fold_that_saw_nothing_of_a_chunk(tmp_path: Path) -> None:
    study = with_options(tmp_path)
    root = Path("models")
    both = [root / f"{model}/fold-{fold}" for model in ("a", "a-seed3") for fold in "01"]
    assert study.members(root, "a-seeds", "test-0") == both
    assert study.members(root, "a-seeds", "1-0") == [both[1], both[3]]


def test_an_option_without_an_ensemble_is_of_the_first_seed(tmp_path: Path) -> None:
    study = with_options(tmp_path)
    assert study.members(Path("models"), "a-refined", "1-0") == [Path("models/a/fold-1")]


def test_settings_of_registration_tell_of_the_option_and_its_models_network(tmp_path: Path) -> None:
    study = with_options(tmp_path)
    plain, refined = (json.loads(study.settings("infer", name)) for name in ("a", "a-refined"))
    assert plain["test_time"] is None
    assert refined["test_time"]["refine"]["images"][0]["name"] == "lncc"
    assert plain | {"test_time": refined["test_time"]} == refined
    assert study.settings("train", "a") == Study.load(write_study(tmp_path)).settings("train", "a")
    assert json.loads(study.settings("report"))["options"] == [["a-refined", "a"], ["a-seeds", "a"]]


def test_a_registration_reads_the_code_of_its_own_option(tmp_path: Path) -> None:
    study = with_options(tmp_path)
    assert (
        study.code("infer", "a")
        == study.code("infer", "a-seeds")
        != study.code("infer", "a-refined")
    )


def test_twins_make_a_training_stale_only_where_it_mirrors(tmp_path: Path) -> None:
    names = [{"name": "left", "key": 1, "mirror": "right"}, {"name": "right", "key": 2}]
    models = {"a": {}, "b": {"augmentation": {"mirror": True}}}
    study = Study.load(write_study(tmp_path, models=models, labels={"names": names}))
    twins = [json.loads(study.settings("train", model))["twins"] for model in ("a", "b")]
    assert twins == [[], [["left", "right"]]]


def test_settings_of_a_stage_hold_what_it_reads_and_nothing_else(tmp_path: Path) -> None:
    study = Study.load(write_study(tmp_path))
    assert set(json.loads(study.settings("evaluate"))) == {
        "labels", "evaluation", "warped_labels", "mapped_points"
    }  # fmt: skip


def test_where_work_runs_is_in_no_settings(tmp_path: Path) -> None:
    one = Study.load(write_study(tmp_path))
    before = one.settings("train", "a")
    other = Study.load(
        write_study(tmp_path, runtime={"device": "cpu", "log_every": 7, "threads": 4})
    )
    assert other.settings("train", "a") == before


def test_on_a_cluster_a_training_knows_its_end_and_writes_to_no_sqlite_database() -> None:
    job = (Runtime(margin_s=30), "sqlite:///mlflow.db", Path("tracking.json"))
    assert job_flags(*job, 240, scheduled=False) == "--tracking tracking.json"
    assert job_flags(*job, 240, scheduled=True) == "--deadline 14370.0"
    assert job_flags(*job, scheduled=True) == ""


def test_on_a_cluster_a_training_mirrors_to_a_server() -> None:
    flags = job_flags(Runtime(), "http://a:5000", Path("t.json"), 1, scheduled=True)
    assert flags == "--tracking t.json --deadline 0.0"


def test_a_finished_model_makes_every_pair_a_tested_one(tmp_path: Path) -> None:
    model = new_patient.write_model(tmp_path / "other/models/best", "1")
    study = Study.load(write_study(tmp_path, models={}, model="other/models/best"))
    assert list(study.cohort.chunks) == ["test-0"]
    assert list(study.registrars) == ["best"]
    assert study.members(tmp_path, "best", "test-0") == [model]


def test_a_finished_model_that_is_not_there_is_told(tmp_path: Path) -> None:
    study = Study.load(write_study(tmp_path, models={}, model="nowhere"))
    with pytest.raises(InputError, match="is not a folder; name a folder that holds"):
        _ = study.registrars


def test_the_lock_keeps_folds_where_they_are(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    study = Study.load(path)
    flipped = {patient: 1 - fold for patient, fold in study.cohort.assignment.items()}
    files.write_text(
        study.cohort.folds_lock,
        "patient\tfold\n" + "".join(f"{p}\t{f}\n" for p, f in flipped.items()),
    )
    assert Study.load(path).cohort.assignment == flipped


def test_the_light_wing_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'mlflow', 'SimpleITK', 'nibabel', 'pandas', 'numpy', 'scipy', 'matplotlib'}"
    script = f"import sys, tenter, tenter.study; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_inputs_of_a_chunk_are_the_files_behind_the_names(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    for name in ("series/2", "series/1", "a.hdr", "a.img"):
        (tmp_path / name).write_text("x")
    rows = ["p0\tP0\tseries\ta.hdr\tcv", "p1\tP1\tm1\tf1\tcv"]
    study = Study.load(write_study(tmp_path, rows))
    (chunk,) = [
        name
        for name in study.cohort.chunks
        if [pair.id for pair in study.cohort.chunks[name]] == ["p0"]
    ]
    found = [
        path.relative_to(tmp_path).as_posix()
        for path in study.cohort.files(chunk, "prepare_images")
    ]
    assert found == ["series/1", "series/2", "a.hdr", "a.img"]


def write_subjects(folder: Path, count: int = 6, **keys: Any) -> Path:
    path = write_study(folder, **keys)
    rows = [f"s{i}\tP{i}\ts{i}.nii\t{'cv' if i < 6 else 'train'}" for i in range(count)]
    (folder / "manifest.tsv").write_text("\n".join(["subject\tpatient\timage\tset", *rows]) + "\n")
    return path


def people(study: Study, chunk_names: list[str]) -> set[str]:
    return {
        patient
        for name in chunk_names
        for pair in study.cohort.chunks[name]
        for patient in pair.patients
    }


def test_a_fold_of_subjects_is_trained_on_pairs_without_its_patients(tmp_path: Path) -> None:
    study = Study.load(write_subjects(tmp_path, 7, folds={"count": 3}))
    assert list(study.cohort.chunks) == [
        "0-0",
        "0x1-0",
        "0x2-0",
        "0xtrain-0",
        "1-0",
        "1x2-0",
        "1xtrain-0",
        "2-0",
        "2xtrain-0",
    ]
    own = {patient for patient, fold in study.cohort.assignment.items() if fold == 0}
    assert study.cohort.training_chunks("0") == ["1-0", "1x2-0", "1xtrain-0", "2-0", "2xtrain-0"]
    assert people(study, study.cohort.training_chunks("0")) == {f"P{i}" for i in range(7)} - own


def test_pairs_of_two_folds_are_not_registered(tmp_path: Path) -> None:
    study = Study.load(write_subjects(tmp_path, folds={"count": 3}))
    assert study.cohort.registered_chunks() == ["0-0", "1-0", "2-0"]
    assert len(study.cohort.registered) == 6
    with pytest.raises(ValueError, match="no model is tested on it"):
        study.members(tmp_path, "a", "0x1-0")


def test_a_draw_is_remembered_beside_the_configuration(tmp_path: Path) -> None:
    path = write_subjects(tmp_path, pairing={"pairs_per_subject": 2})
    before = Study.load(path)
    before.cohort.record_pairs(tmp_path / "copy.tsv")
    assert (tmp_path / "trial.pairs.tsv").read_text() == (tmp_path / "copy.tsv").read_text()
    write_subjects(tmp_path, 7, pairing={"pairs_per_subject": 2})
    grown = Study.load(path)
    new = {pair.id for pair in grown.cohort.pairs} - {pair.id for pair in before.cohort.pairs}
    assert len(grown.cohort.pairs) == len(before.cohort.pairs) + len(new)
    assert len(new) == 2
    assert all("s6" in name for name in new)


def test_all_pairs_need_no_memory(tmp_path: Path) -> None:
    study = Study.load(write_subjects(tmp_path))
    study.cohort.record_pairs(tmp_path / "copy.tsv")
    assert (tmp_path / "copy.tsv").read_text().startswith("pair\ns0--s1\n")
    assert not (tmp_path / "trial.pairs.tsv").exists()


def test_a_manifest_of_pairs_leaves_no_list_of_pairs(tmp_path: Path) -> None:
    Study.load(write_study(tmp_path)).cohort.record_pairs(tmp_path / "copy.tsv")
    assert not (tmp_path / "copy.tsv").exists()


def test_a_new_subject_changes_no_chunk_but_its_own(tmp_path: Path) -> None:
    path = write_subjects(tmp_path, folds={"count": 3})
    before = Study.load(path)
    rows = before.row_files
    before.cohort.record_folds(tmp_path / "folds.tsv")
    with (tmp_path / "manifest.tsv").open("a") as stream:
        stream.write("new\tnew\tnew.nii\t\n")
    after = Study.load(path)
    fold = str(after.cohort.assignment["new"])
    changed = {
        name
        for name in after.cohort.chunks
        if after.row_files.digest(name, "evaluate") != rows.digest(name, "evaluate")
    }
    assert changed == {
        name for name in after.cohort.chunks if fold in name.rpartition("-")[0].split("x")
    }


def test_where_and_how_fast_a_training_runs_is_none_of_its_settings(tmp_path: Path) -> None:
    runtimes: list[dict[str, Any]] = [{}, {"devices": 2}, {"execution": "compiled", "threads": 2}]
    studies = [Study.load(write_study(tmp_path, runtime=runtime)) for runtime in runtimes]
    assert len({study.settings("train", "a") for study in studies}) == 1
