"""One thing is edited at a time; exactly the jobs that depend on it are stale."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml

from builders.clones import Clone, jobs
from tenter import folds

FOLDS = ("0", "1", "2")
MODELS = ("a", "b")
PUBLISHED = {"publish a", "publish b"}
CLOSING = {"summarise", "report"} | PUBLISHED


def every(stage: str, *parts: tuple[str, ...]) -> set[str]:
    return {" ".join((stage, *item)) for item in itertools.product(*parts)}


def chunks(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{name}-0" for name in names)


def measured(models: tuple[str, ...] = MODELS, groups: tuple[str, ...] = FOLDS) -> set[str]:
    return every("evaluate", models, chunks(groups)) | CLOSING


def registered(models: tuple[str, ...] = MODELS, groups: tuple[str, ...] = FOLDS) -> set[str]:
    return every("infer", models, chunks(groups)) | measured(models, groups)


def trained(models: tuple[str, ...] = MODELS, groups: tuple[str, ...] = FOLDS) -> set[str]:
    return every("train", models, groups) | registered(models, groups)


def others(fold: str) -> tuple[str, ...]:
    return tuple(name for name in FOLDS if name != fold)


def prepared(fold: str, *kinds: str) -> set[str]:
    return {f"prepare_{kind} {fold}-0" for kind in kinds}


def changed_in(fold: str) -> set[str]:
    """What a change of a fold's images makes stale, the check included."""
    return prepared(fold, "images", "labels") | trained(groups=others(fold)) | registered()


def lock(study: Clone) -> dict[str, int]:
    return folds.read_lock(study.config.with_suffix(".folds.tsv"))


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path} holds no {old!r}"
    path.write_text(text.replace(old, new, 1))


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def configure(study: Clone, change: Callable[[dict[str, Any]], None]) -> None:
    content = study.settings()
    change(content)
    study.config.write_text(yaml.safe_dump(content, sort_keys=False))


def source(study: Clone, name: str) -> Path:
    return study.root / "src/tenter" / name


def test_a_second_run_has_nothing_to_do(finished: Clone) -> None:
    assert finished.stale() == set()


SETTINGS: list[tuple[str, dict[str, object], set[str]]] = [
    ("report.title", {"report": {"title": "Trial"}}, {"report"} | PUBLISHED),
    ("report.examples", {"report": {"examples": 1}}, {"report"} | PUBLISHED),
    ("summary", {"summary": {"bootstrap": 200}}, CLOSING),
    ("evaluation", {"evaluation": {"threshold": 0.4}}, measured()),
    ("runtime", {"runtime": {"log_every": 1, "checkpoint_s": 9, "margin_s": 9}}, set()),
    ("tracking", {"tracking": {"timeout_s": 3}}, set()),
    ("tracking.experiment", {"tracking": {"experiment": "other"}}, PUBLISHED),
]


@pytest.mark.parametrize(
    ("change", "expected"), [item[1:] for item in SETTINGS], ids=[i[0] for i in SETTINGS]
)
def test_a_setting(finished: Clone, change: dict[str, object], expected: set[str]) -> None:
    with finished.edited(finished.config):
        configure(finished, lambda content: content.update(change))
        assert finished.stale() == expected


MODEL_SETTINGS: list[tuple[str, dict[str, object]]] = [
    (
        "loss weight",
        {
            "losses": {
                "labels": [{"name": "dice"}],
                "regularisers": [{"name": "bending", "weight": 0.7}],
            }
        },
    ),
    ("training", {"training": {"steps": 4, "batch": 2, "learning_rate": 1e-3}}),
    ("seed", {"seeds": [1]}),
]


@pytest.mark.parametrize(
    "change", [item[1] for item in MODEL_SETTINGS], ids=[item[0] for item in MODEL_SETTINGS]
)
def test_a_setting_of_one_model(finished: Clone, change: dict[str, object]) -> None:
    with finished.edited(finished.config):
        configure(finished, lambda content: content["models"]["b"].update(change))
        assert finished.stale() == trained(("b",))


def test_a_model_added(finished: Clone) -> None:
    with finished.edited(finished.config):
        configure(
            finished,
            lambda content: content["models"].update(c=content["models"]["b"] | {"seeds": [4]}),
        )
        assert finished.stale() == trained(("c",)) | {"publish c"}


def test_a_test_time_option_added(finished: Clone) -> None:
    options = {"posed": {"poses": {"count": 2, "scale": 0.1}}}
    with finished.edited(finished.config):
        configure(finished, lambda content: content["models"]["b"].update(test_time=options))
        assert finished.stale() == registered(("b-posed",))


def test_a_baseline_added(finished: Clone) -> None:
    with finished.edited(finished.config):
        configure(finished, lambda content: content.update(baselines={"c": {"method": "identity"}}))
        expected = every("baseline", ("c",), chunks(FOLDS)) | measured(("c",))
        assert finished.stale() == expected


def test_an_ensemble_of_seeds_added_trains_the_seeds_and_no_more(finished: Clone) -> None:
    more = {"seeds": [0, 4], "test_time": {"seeds": {"ensemble": True}}}
    with finished.edited(finished.config):
        configure(finished, lambda content: content["models"]["b"].update(more))
        expected = trained(("b-seed4",)) | registered(("b-seeds",)) | {"publish b-seed4"}
        assert finished.stale() == expected


CODE: list[tuple[str, str, str, set[str]]] = [
    ("comment", "losses/dice.py", "\n# a remark\n", set()),
    ("layout", "losses/dice.py", "\n\n\n", set()),
    ("metric", "metrics/overlap.py", "\nEDITED = 1\n", measured()),
    ("metric found by its name", "metrics/strict/ndv.py", "\nEDITED = 1\n", measured()),
    ("loss in use", "losses/dice.py", "\nEDITED = 1\n", trained(("b",))),
    ("loss not in use", "losses/jaccard.py", "\nEDITED = 1\n", set()),
    ("network not in use", "networks/local.py", "\nEDITED = 1\n", set()),
    ("tracking", "tracking/mirror.py", "\nEDITED = 1\n", set()),
    ("texts of errors", "errors.py", "\nEDITED = 1\n", set()),
    ("page", "reporting/templates/report.css", "\n.edited {}\n", {"report"} | PUBLISHED),
    ("report", "reporting/plots.py", "\nEDITED = 1\n", {"report"} | PUBLISHED),
    ("training loop", "training/loop.py", "\nEDITED = 1\n", trained()),
    ("inference", "stages/infer.py", "\nEDITED = 1\n", registered()),
    ("baseline not in use", "baselines/external.py", "\nEDITED = 1\n", set()),
    ("test-time option not in use", "registration/refine.py", "\nEDITED = 1\n", set()),
]


@pytest.mark.parametrize(
    ("name", "text", "expected"), [item[1:] for item in CODE], ids=[item[0] for item in CODE]
)
def test_an_edit_of_code(finished: Clone, name: str, text: str, expected: set[str]) -> None:
    with finished.edited(source(finished, name)) as path:
        append(path, text)
        assert finished.stale() == expected


CUSTOM: list[tuple[str, str, str, set[str]]] = [
    ("comment", "losses_beside.py", "\n# a remark\n", set()),
    ("loss", "losses_beside.py", "\nEDITED = 1\n", trained(("b",))),
    ("file that it imports", "numbers_beside.py", "\nEDITED = 1\n", trained(("b",))),
    ("metric", "metrics_beside.py", "\nEDITED = 1\n", measured()),
]


@pytest.mark.parametrize(
    ("name", "text", "expected"), [item[1:] for item in CUSTOM], ids=[item[0] for item in CUSTOM]
)
def test_an_edit_of_custom_code(finished: Clone, name: str, text: str, expected: set[str]) -> None:
    with finished.edited(finished.config.with_name(name)) as path:
        append(path, text)
        assert finished.stale() == expected


def test_the_title_of_a_custom_metric(finished: Clone) -> None:
    with finished.edited(finished.config):
        configure(finished, lambda content: content["evaluation"]["metrics"][0].update(title="T"))
        assert finished.stale() == {"report"} | PUBLISHED


def test_a_docstring(finished: Clone) -> None:
    with finished.edited(source(finished, "losses/dice.py")) as path:
        path.write_text(re.sub(r'^"""[^"]*"""', '"""Other words."""', path.read_text()))
        assert "Other words" in path.read_text()
        assert finished.stale() == set()


def test_a_description_in_the_configuration(finished: Clone) -> None:
    with finished.edited(source(finished, "config/model.py")) as path:
        rewrite(path, '"""Number of optimiser steps."""', '"""Steps of the optimiser."""')
        assert finished.stale() == set()


def test_spatial_smoothing_reaches_preparation_and_all_that_follows(finished: Clone) -> None:
    with finished.edited(source(finished, "spatial/smooth.py")) as path:
        append(path, "\nEDITED = 1\n")
        stale = finished.stale()
        assert trained() <= stale
        assert stale <= trained() | every("prepare_images", chunks(FOLDS)) | every(
            "prepare_labels", chunks(FOLDS)
        )


def a_pair(study: Clone) -> tuple[list[str], str]:
    """Cells of the first row, and its fold."""
    header, row = study.manifest.read_text().splitlines()[:2]
    cells = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    fold = lock(study)[cells["patient"]]
    return [cells["moving_labels"], cells["fixed_image"]], str(fold)


def scale(path: Path, factor: float) -> None:
    image = nib.nifti1.Nifti1Image.from_filename(path)
    array = np.asarray(image.dataobj, dtype=np.float32) * factor
    nib.save(nib.Nifti1Image(array, image.affine), path)


def test_one_label_file(finished: Clone) -> None:
    (labels, _), fold = a_pair(finished)
    with finished.edited(finished.manifest.parent / labels) as path:
        scale(path, 0.9)
        expected = prepared(fold, "labels") | trained(groups=others(fold)) | measured()
        assert finished.stale() == expected


def test_one_image(finished: Clone) -> None:
    (_, image), fold = a_pair(finished)
    with finished.edited(finished.manifest.parent / image) as path:
        scale(path, 2.0)
        expected = prepared(fold, "images", "labels") | trained(groups=others(fold)) | registered()
        assert finished.stale() == expected


def test_a_large_image_touched_without_change(finished: Clone) -> None:
    large = [
        path for path in finished.manifest.parent.rglob("*.nii") if path.stat().st_size > 5_000_000
    ]
    assert large
    for path in large:
        os.utime(path)
    assert finished.stale() == set()


def test_a_pair_of_an_old_patient_added(finished: Clone) -> None:
    row = (finished.root / "again.tsv").read_text()
    fold = str(lock(finished)[row.split("\t")[1]])
    with finished.edited(finished.manifest) as path:
        append(path, row)
        expected = prepared(fold, "images", "labels") | trained(groups=others(fold)) | registered()
        assert finished.stale() == expected


def test_a_new_patient(finished: Clone) -> None:
    assigned = lock(finished)
    patients = [row.split("\t")[1] for row in finished.manifest.read_text().splitlines()[1:]]
    loads = [sum(assigned[patient] == fold for patient in patients) for fold in range(3)]
    fold = str(loads.index(min(loads)))
    with finished.edited(finished.manifest) as path:
        append(path, (finished.root / "alone.tsv").read_text())
        new = prepared(fold, "images", "labels")
        assert finished.stale() == new | trained(groups=others(fold)) | registered()


def test_a_pair_removed(finished: Clone) -> None:
    header, *rows = finished.manifest.read_text().splitlines()
    patients = [row.split("\t")[1] for row in rows]
    position = next(i for i, patient in enumerate(patients) if patients.count(patient) > 1)
    fold = str(lock(finished)[patients[position]])
    with finished.edited(finished.manifest) as path:
        path.write_text("\n".join([header, *rows[:position], *rows[position + 1 :]]) + "\n")
        expected = prepared(fold, "images", "labels") | trained(groups=others(fold)) | registered()
        assert finished.stale() == expected


@pytest.mark.parametrize(
    "name", ["cohort/plan.json", "cohort/folds.tsv", "cohort/check.json", "tracking/tracking.json"]
)
def test_what_is_made_once_and_rewritten(finished: Clone, name: str) -> None:
    with finished.edited(finished.results / name) as path:
        path.write_bytes(path.read_bytes() + b"\n")
        assert finished.stale() == set()


def test_another_grid_renews_the_plan_and_all_that_follows(finished: Clone) -> None:
    with finished.edited(finished.config):
        configure(finished, lambda content: content["plan"].update(spacing_mm=7.0))
        everything = (
            every("prepare_images", chunks(FOLDS))
            | every("prepare_labels", chunks(FOLDS))
            | trained()
        )
        assert finished.stale() == {"plan"} | everything


def test_a_patient_moved_by_hand_to_another_fold(finished: Clone) -> None:
    path = finished.config.with_suffix(".folds.tsv")
    assigned = lock(finished)
    patient = next(name for name in assigned if list(assigned.values()).count(assigned[name]) > 1)
    with finished.edited(path):
        folds.write_lock(path, assigned | {patient: (assigned[patient] + 1) % 3})
        stale = finished.stale()
        assert trained() <= stale
        assert "plan" not in stale


def test_rows_and_columns_in_another_order(finished: Clone) -> None:
    header, *rows = finished.manifest.read_text().splitlines()
    with finished.edited(finished.manifest) as path:
        path.write_text("\n".join([header, *reversed(rows)]) + "\n")
        assert finished.stale() == set()


def test_results_of_an_earlier_layout_are_all_made_again(finished: Clone) -> None:
    with finished.edited(finished.results / "cohort/plan.json.provenance.json") as path:
        record = json.loads(path.read_text())
        del record["layout"]
        path.write_text(json.dumps(record))
        everything = (
            every("prepare_images", chunks(FOLDS))
            | every("prepare_labels", chunks(FOLDS))
            | trained()
        )
        assert finished.stale() == {"plan"} | everything


def test_a_plan_that_is_asked_for_renews_all_that_follows(finished: Clone) -> None:
    done = finished.run("--dry-run", "--forcerun", "plan", "prepare_images")
    assert done.returncode == 0, done.stderr
    everything = every("prepare_images", chunks(FOLDS)) | every("prepare_labels", chunks(FOLDS))
    assert jobs(done.stdout + done.stderr) == {"plan"} | everything | trained()
