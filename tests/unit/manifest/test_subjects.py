"""A table of subjects: what it may say, and how its faults are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenter import manifest
from tenter.config import Pairing
from tenter.records import Subject

HEADER = "subject\tpatient\timage\tlabels"
ROWS = ("a\tP1\ta.nii\tal.nii", "b\tP2\tb.nii\tbl.nii", "c\tP3\tc.nii\t")


def table(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "subjects.tsv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def complaints(path: Path, rules: Pairing = manifest.ANY) -> list[str]:
    _, faults = manifest.scan(path, rules=rules)
    return [str(fault) for fault in faults]


def test_the_columns_say_that_rows_are_subjects(tmp_path: Path) -> None:
    cohort = manifest.cohort(table(tmp_path, *ROWS))
    assert [subject.id for subject in cohort.subjects] == ["a", "b", "c"]
    assert cohort.members == cohort.subjects
    assert cohort.subjects[0] == Subject(
        id="a",
        patient="P1",
        image=tmp_path / "a.nii",
        labels=tmp_path / "al.nii",
        stratum="",
        row=2,
    )


def test_a_table_of_pairs_may_have_a_column_of_subjects(tmp_path: Path) -> None:
    header = "pair\tpatient\tmoving_image\tfixed_image\tsubject"
    cohort = manifest.cohort(table(tmp_path, "p\tP1\tm\tf\ts1", header=header))
    assert (len(cohort.pairs), cohort.subjects) == (1, ())
    assert cohort.members == cohort.pairs


def test_all_ordered_pairs_are_made_and_named_moving_first(tmp_path: Path) -> None:
    pairs = manifest.read(table(tmp_path, *ROWS))
    assert [pair.id for pair in pairs] == ["a--b", "a--c", "b--a", "b--c", "c--a", "c--b"]
    first = pairs[0]
    assert (first.patients, first.moving, first.fixed) == (
        ("P1", "P2"),
        tmp_path / "a.nii",
        tmp_path / "b.nii",
    )


def test_a_pair_has_labels_where_both_subjects_have(tmp_path: Path) -> None:
    labelled = {pair.id: pair.moving_labels for pair in manifest.read(table(tmp_path, *ROWS))}
    assert labelled["a--b"] == tmp_path / "al.nii"
    assert labelled["a--c"] is labelled["c--a"] is None


def test_two_images_of_a_patient_make_a_pair_of_one_patient(tmp_path: Path) -> None:
    (pair, _) = manifest.read(table(tmp_path, "a\tP1\ta.nii\t", "b\tP1\tb.nii\t"))
    assert pair.patients == ("P1",)


@pytest.mark.parametrize(
    ("row", "location", "message"),
    [
        ("\tP9\tx.nii\t", "subject", "is blank"),
        ("x--y\tP9\tx.nii\t", "subject", "joins two subjects"),
        ("x-\tP9\tx.nii\t", "subject", "ends with `-`"),
        (f"{'x' * 32}\tP9\tx.nii\t", "subject", "has 32 characters"),
        ("x\tP--9\tx.nii\t", "patient", "joins two patients"),
        ("x\tP9\t\t", "image", "is blank"),
        ("x\tP9\thttps://x/y.nii\t", "image", "is a URL"),
        ("x\tP9\ta.nii\t", "image", "is the image of subject 'a' (row 2) too"),
        ("a\tP9\tx.nii\t", "subject", "'a' is already in row 2"),
        ("A\tP9\tx.nii\t", "subject", "only in case"),
    ],
)
def test_a_fault_is_told_with_file_row_and_column(
    tmp_path: Path, row: str, location: str, message: str
) -> None:
    path = table(tmp_path, *ROWS, row)
    (line,) = complaints(path)
    assert line.startswith(f"ERROR {path}:5:{location}: ")
    assert message in line


def test_a_misspelt_column_is_guessed(tmp_path: Path) -> None:
    path = table(tmp_path, "a\tP1\ta.nii", header="subject\tpatient\timge")
    assert complaints(path) == [
        f"ERROR {path}:1:image: is missing from the header; rename 'imge' to 'image'"
    ]


def test_a_patient_cannot_be_tested_and_trained_on(tmp_path: Path) -> None:
    rows = ("a\tP1\ta.nii\tcv", "b\tP1\tb.nii\ttest", "c\tP2\tc.nii\t", "d\tP3\td.nii\ttest")
    lines = complaints(table(tmp_path, *rows, header="subject\tpatient\timage\tset"))
    assert [line for line in lines if "patient 'P1' is in cv and test (rows 2, 3)" in line]


def test_a_tested_subject_is_paired_with_such_alone(tmp_path: Path) -> None:
    rows = ("a\tP1\ta.nii\tcv", "b\tP2\tb.nii\ttest", "c\tP3\tc.nii\ttrain", "d\tP4\td.nii\ttest")
    pairs = manifest.read(table(tmp_path, *rows, header="subject\tpatient\timage\tset"))
    assert {pair.id: pair.set for pair in pairs} == {
        "a--c": "train", "c--a": "train", "b--d": "test", "d--b": "test",
    }  # fmt: skip


def test_a_subject_in_no_pair_is_warned_of(tmp_path: Path) -> None:
    rows = ("a\tP1\ta.nii\t", "b\tP2\tb.nii\t", "c\tP3\tc.nii\ttest")
    (line,) = complaints(table(tmp_path, *rows, header="subject\tpatient\timage\tset"))
    assert ":4:subject: 'c' is in no pair" in line
    assert line.startswith("WARNING")


def test_one_subject_makes_no_pair(tmp_path: Path) -> None:
    (line,) = complaints(table(tmp_path, ROWS[0]))
    assert "makes no pair" in line


GROUPED = ("a\tP1\ta.nii\tmr", "b\tP2\tb.nii\tus", "c\tP3\tc.nii\tct")


@pytest.mark.parametrize(
    ("rows", "rules", "message"),
    [
        (
            GROUPED,
            Pairing(forward=("mr", "us")),
            ":4:group: is 'ct', which `pairing.forward` does not name",
        ),
        (GROUPED, Pairing(forward=("mr", "us", "ct", "pet")), ":group: holds no 'pet'"),
        (("a\tP1\ta.nii\t", "b\tP2\tb.nii\tx"), Pairing(groups="between"), ":2:group: is blank"),
        (
            ("a\tP1\ta.nii\t", "b\tP2\tb.nii\t"),
            Pairing(groups="within"),
            ":1:group: is blank in all rows",
        ),
        (GROUPED, Pairing(kind="paired"), ":1: holds subjects; correct `pairing.kind: paired`"),
    ],
)
def test_rules_that_the_table_cannot_meet_are_told(
    tmp_path: Path, rows: tuple[str, ...], rules: Pairing, message: str
) -> None:
    path = table(tmp_path, *rows, header="subject\tpatient\timage\tgroup")
    (line,) = complaints(path, rules)
    assert message in line


def test_more_pairs_than_anyone_wants_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path, *(f"s{i}\tP{i}\t{i}.nii\t" for i in range(320)))
    (line,) = complaints(path)
    assert "makes up to 102080 pairs of 320 subjects; draw some of them" in line
    assert complaints(path, Pairing(pairs_per_subject=2)) == []


def test_rules_have_no_effect_on_a_table_of_pairs(tmp_path: Path) -> None:
    path = table(tmp_path, "p\tP1\tm\tf", header="pair\tpatient\tmoving_image\tfixed_image")
    (line,) = complaints(path, Pairing(pairs_per_subject=3))
    assert line.startswith("WARNING")
    assert "`pairing` has no effect" in line
    assert complaints(path, Pairing(kind="paired")) == []


def test_a_place_in_a_pair_is_one_in_the_table(tmp_path: Path) -> None:
    (pair,) = (pair for pair in manifest.read(table(tmp_path, *ROWS)) if pair.id == "c--a")
    assert manifest.place(pair, "moving_image") == (4, "image")
    assert manifest.place(pair, "fixed_labels") == (2, "labels")
