"""A whole run over subjects that are paired: who learns from whom, who tests whom;
what a new one costs.
"""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import pytest

from builders.clones import NETWORK, TRAINING, Clone, clone, jobs, simulate, write_config
from tenter.study import Study

FOLDS = ("0", "1", "2")
BARE = "subject-001"
"""The subject without labels."""


@pytest.fixture(scope="module")
def unpaired(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """MR to ultrasound of other patients: three of each, one of them without labels;
    one more lies ready.
    """
    made = clone(tmp_path_factory.mktemp("unpaired"))
    simulate(made, "cohort", "--kind", "subjects", "--patients", "7", "--seed", "1")
    header, *rows = made.manifest.read_text().splitlines()
    (made.root / "alone.tsv").write_text(rows.pop() + "\n")
    rows[0] = rows[0].replace(f"labels/{BARE}.nii.gz", "")
    made.manifest.write_text("\n".join([header, *rows]) + "\n")
    losses = {"labels": [{"name": "dice"}], "images": [{"name": "mind"}]}
    write_config(
        made,
        pairing={"groups": "between", "forward": ["mr", "us"]},
        models={"a": {"network": NETWORK, "training": TRAINING, "losses": losses}},
    )
    done = made.run()
    assert done.returncode == 0, done.stdout + done.stderr
    (made.root / "output.txt").write_text(done.stdout + done.stderr)
    return made


def chunks(names: tuple[str, ...]) -> set[str]:
    return {f"{name}-0" for name in names}


def described(study: Clone, fold: str) -> dict[str, dict[str, list[str]]]:
    content: dict[str, dict[str, list[str]]] = json.loads(
        (study.results / f"models/a/fold-{fold}/model.json").read_text()
    )
    return content


def measured(study: Clone) -> list[dict[str, str]]:
    with (study.results / "metrics.tsv").open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def test_pairs_of_two_folds_are_prepared_but_not_registered(unpaired: Clone) -> None:
    made = jobs((unpaired.root / "output.txt").read_text())
    across = tuple("x".join(two) for two in itertools.combinations(FOLDS, 2))
    assert {name for name in made if name.startswith("prepare_images ")} == {
        f"prepare_images {chunk}" for chunk in chunks(FOLDS + across)
    }
    registered = {name for name in made if name.startswith("infer ")}
    assert registered == {f"infer a {chunk}" for chunk in chunks(FOLDS)}


def test_each_measured_pair_was_registered_by_a_model_that_saw_neither_patient(
    unpaired: Clone,
) -> None:
    rows = measured(unpaired)
    assert len({row["pair"] for row in rows}) == 3
    for row in rows:
        known = described(unpaired, row["fold"])["patients"]
        assert not {*known["trained_on"], *known["validated_on"]} & set(row["patient"].split("--"))


def test_images_without_labels_are_learnt_from_and_registered(unpaired: Clone) -> None:
    learnt = [described(unpaired, fold)["trained_on"] for fold in FOLDS]
    watched = [described(unpaired, fold)["validated_on"] for fold in FOLDS]
    assert any(name.startswith(BARE) for name in itertools.chain(*learnt, *watched))
    rows = [row for row in measured(unpaired) if row["pair"].startswith(BARE)]
    assert {row["role"] for row in rows} == {"field", "points"}


def test_a_second_run_has_nothing_to_do(unpaired: Clone) -> None:
    assert unpaired.stale() == set()


def test_a_new_subject_reruns_its_pairs_and_the_folds_that_learn_from_them(unpaired: Clone) -> None:
    with unpaired.edited(unpaired.manifest) as path:
        path.write_text(path.read_text() + (unpaired.root / "alone.tsv").read_text())
        new = str(Study.load(unpaired.config).cohort.assignment["patient-007"])
        others = tuple(fold for fold in FOLDS if fold != new)
        across = tuple("x".join(sorted((new, fold))) for fold in others)
        prepared = {
            f"prepare_{kind} {c}" for kind in ("images", "labels") for c in chunks((new, *across))
        }
        assert unpaired.stale() == prepared | {f"train a {fold}" for fold in others} | {
            *(f"infer a {chunk}" for chunk in chunks(FOLDS)),
            *(f"evaluate a {chunk}" for chunk in chunks(FOLDS)),
            "summarise", "report", "publish a",
        }  # fmt: skip


def test_labels_of_a_subject_rerun_no_preparation_of_images(unpaired: Clone) -> None:
    labels: Path = unpaired.manifest.parent / "labels/subject-002.nii.gz"
    with unpaired.edited(labels):
        labels.write_bytes((labels.parent / "subject-004.nii.gz").read_bytes())
        stale = unpaired.stale()
    assert not [name for name in stale if name.startswith("prepare_images")]
    own = str(Study.load(unpaired.config).cohort.assignment["patient-002"])
    assert {name for name in stale if name.startswith("train")} == {
        f"train a {f}" for f in FOLDS if f != own
    }
