"""What `check` says of a cohort of subjects: each fault at its row, once, and who tests whom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from builders import faulty_files
from tenter import files
from tenter.errors import InputError
from tenter.records import Fault
from tenter.stages.check import check

PEOPLE = ("s1", "s2", "s3", "s4")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound study of four subjects, two in each of two folds."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "study"
    lines = ["subject\tpatient\timage\tlabels\tfold"]
    for number, name in enumerate(PEOPLE):
        faulty_files.image(folder / f"{name}.nii.gz", seed=number)
        faulty_files.labels(folder / f"{name}_labels.nii.gz")
        lines.append(f"{name}\tP{number}\t{name}.nii.gz\t{name}_labels.nii.gz\t{number // 2}")
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    path = folder / "config.yaml"
    path.write_text(faulty_files.CONFIG, encoding="utf-8")
    return path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def told(config: Path) -> tuple[Fault, ...]:
    with pytest.raises(InputError) as caught:
        check(config)
    return caught.value.faults


def test_a_sound_study_says_who_tests_whom(config: Path) -> None:
    verdict = check(config)
    assert verdict.warnings == ()
    text = str(verdict)
    assert "12 image pairs of 4 patients: all cross-validated" in text
    assert "2 folds of 2 patients each" in text
    assert "registered and measured: 4 pairs, by models that saw neither patient" in text
    assert (
        "never tested: 8 pairs whose patients are in two folds; no model learns from them" in text
    )
    assert "each fold's training: 2 pairs to learn from, none for validation" in text


def test_pairs_that_are_not_registered_take_no_room(config: Path, tmp_path: Path) -> None:
    check(config, output=tmp_path / "check.json")
    bytes_needed = files.read_json(tmp_path / "check.json")["forecast"]["fields_bytes"]["transform"]
    # 4 of 12 pairs, 12 x 10 x 8 voxels, three float64 each.
    assert bytes_needed == 4 * 960 * 24


def test_a_faulty_image_is_told_once_where_it_is_named(config: Path) -> None:
    faulty_files.cut_half(config.parent / "s3.nii.gz")
    (fault,) = told(config)
    assert (fault.row, fault.column) == (4, "image")
    assert fault.message.startswith("s3.nii.gz: ")
    assert "also in rows" not in fault.message


def test_labels_on_another_grid_are_told_once(config: Path) -> None:
    faulty_files.elsewhere(config.parent / "s2_labels.nii.gz")
    (fault,) = told(config)
    assert (fault.row, fault.column) == (3, "labels")
    assert fault.message.endswith("(in pair s1--s2 and 5 more)")


def test_images_of_other_channels_than_the_rest_are_told_once(config: Path) -> None:
    two = np.random.default_rng(0).normal(size=(*faulty_files.SHAPE, 2))
    faulty_files.save(config.parent / "s4.nii.gz", two.astype(np.float32))
    (fault,) = told(config)
    assert (fault.row, fault.column) == (5, "image")
    assert "has 2 channels, 3 others have 1" in fault.message


def test_equal_images_of_two_subjects_are_refused(config: Path) -> None:
    (config.parent / "s4.nii.gz").write_bytes((config.parent / "s1.nii.gz").read_bytes())
    errors = [fault for fault in told(config) if fault.severity == "ERROR"]
    assert {(fault.row, fault.column) for fault in errors} == {(2, "image"), (5, "image")}


def test_equal_images_that_are_never_paired_are_a_leak(config: Path) -> None:
    (config.parent / "s4.nii.gz").write_bytes((config.parent / "s1.nii.gz").read_bytes())
    (config.parent / "config.pairs.tsv").write_text("pair\ns1--s2\ns2--s1\ns3--s4\ns4--s3\n")
    edit(config, "folds:", "pairing: {pairs_per_subject: 1}\nfolds:")
    (fault,) = [fault for fault in check(config).warnings if "leak" in fault.message]
    assert (fault.row, fault.column) == (5, "image")
    assert "under patients P0, P3" in fault.message


def test_subjects_without_labels_are_told_by_their_rows(config: Path) -> None:
    edit(config.parent / "manifest.tsv", "s3_labels.nii.gz", "")
    edit(config, "  base:\n", "  base:\n    losses: {images: [{name: lncc}]}\n")
    (fault,) = check(config).warnings
    assert fault.message == "6 pairs have no common label: registered, but not measured"
    assert "rows 4)" in fault.fix
    assert fault.column == "labels"


def test_a_label_that_one_subject_lacks_is_told_once_and_counted(config: Path) -> None:
    faulty_files.labels(config.parent / "s3_labels.nii.gz", keys=(1,))
    edit(config, "folds:", "labels:\n  names: [{name: cyst, key: 2}]\nfolds:")
    (fault,) = check(config).warnings
    assert (
        "label 'cyst' is on one side only of 6 of 12 pairs: neither learnt from nor"
        in fault.message
    )
    assert (fault.column, fault.fix) == ("labels", "draw it in rows 4 if it should count")


def test_pairs_whose_labels_have_no_key_in_common_are_counted(config: Path) -> None:
    for name in ("s1", "s3"):
        faulty_files.labels(config.parent / f"{name}_labels.nii.gz", keys=(3,))
    edit(config, "  base:\n", "  base:\n    losses: {images: [{name: lncc}]}\n")
    fixes = {fault.message: fault.fix for fault in check(config).warnings}
    apart = (
        "8 pairs have labels on both sides, none of them in common: registered, but not measured"
    )
    assert "s1--s2, s1--s4, s2--s1 and 5 more" in fixes.pop(apart)
    assert sorted(fixes) == [
        f"label 'label-{key}' is on one side only of 8 of 12 pairs: "
        "neither learnt from nor measured there"
        for key in (1, 2, 3)
    ]


def test_folds_whose_pairs_share_no_label_are_refused(config: Path) -> None:
    for name in ("s1", "s3"):
        faulty_files.labels(config.parent / f"{name}_labels.nii.gz", keys=(3,))
    errors = [fault.message for fault in told(config) if fault.severity == "ERROR"]
    assert errors == [
        f"fold {fold} has 2 pairs to train on, none with labels on both sides" for fold in (0, 1)
    ]


def test_a_fold_without_labelled_pairs_to_learn_from_is_refused(config: Path) -> None:
    edit(config.parent / "manifest.tsv", "s3_labels.nii.gz", "")
    errors = [fault for fault in told(config) if fault.severity == "ERROR"]
    assert [fault.message.split(" has")[0] for fault in errors] == ["fold 0"]


def test_folds_that_test_no_pair_are_warned_of(config: Path) -> None:
    table = config.parent / "manifest.tsv"
    edit(table, "s2_labels.nii.gz\t0", "s2_labels.nii.gz\t2")
    edit(config, "count: 2", "count: 3")
    (fault,) = check(config).warnings
    assert "no pair has both of its patients in fold 0, 2" in fault.message


def test_a_study_that_tests_nothing_is_refused(config: Path) -> None:
    table = config.parent / "manifest.tsv"
    rows = [line.split("\t")[:4] for line in table.read_text(encoding="utf-8").splitlines()]
    table.write_text("\n".join("\t".join(row) for row in rows), encoding="utf-8")
    edit(config, "count: 2", "count: 4")
    (fault,) = told(config)
    assert (fault.severity, fault.column) == ("ERROR", "patient")


def test_an_alignment_by_file_is_refused_once(config: Path) -> None:
    edit(config, "folds:", "plan: {alignment: file}\nfolds:")
    (fault,) = told(config)
    assert "no `initial_transform`" in fault.message
    assert "`centre`" in fault.fix


def test_a_spoilt_list_of_drawn_pairs_is_told(config: Path) -> None:
    (config.parent / "config.pairs.tsv").write_text("nonsense\n")
    (fault,) = told(config)
    assert Path(fault.file).name == "config.pairs.tsv"
    assert "delete it to draw anew" in fault.fix


def test_a_grid_chosen_too_small_counts_images_not_pairs(config: Path) -> None:
    edit(config, "folds:", "plan: {shape: [12, 10, 4]}\nfolds:")
    (fault,) = check(config).warnings
    assert fault.message.startswith("4 fixed images reach up to 2.0 mm")
    assert "rows 3, 4, 5" in fault.message


def test_the_hippocampus_study_is_sound(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (shared / "hippocampus").is_dir()
    monkeypatch.chdir(tmp_path)
    verdict = check(Path(__file__).parents[3] / "config/hippocampus.yaml", quick=True)
    assert verdict.warnings == ()
    assert "pairs of 50 patients" in str(verdict)
