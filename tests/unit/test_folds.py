from __future__ import annotations

from pathlib import Path

import pytest

from tenter import folds
from tenter.errors import InputError
from tenter.records import Pair, Subject


def pair(name: str, patient: str, fold: int | None = None, stratum: str | None = None) -> Pair:
    return Pair(
        id=name, patients=(patient,), moving=Path("m"), fixed=Path("f"), fold=fold, stratum=stratum
    )


def test_too_few_patients_are_told_with_counts() -> None:
    with pytest.raises(InputError, match="1 cross-validated patients cannot fill 2 folds"):
        folds.assign([pair("a", "P1"), pair("b", "P1")], 2, 0, {})


def test_a_new_patient_goes_to_the_fold_with_fewest_pairs() -> None:
    pairs = [pair("a", "P1"), pair("b", "P1"), pair("c", "P2"), pair("d", "P3")]
    assert folds.assign(pairs, 2, 0, {"P1": 0, "P2": 1})["P3"] == 1


def test_the_users_folds_are_taken_as_they_are() -> None:
    assert folds.assign([pair("a", "P1", 4), pair("b", "P2", 2)], 5, 0, {"P1": 0}) == {
        "P1": 4,
        "P2": 2,
    }


def test_strata_are_spread_evenly() -> None:
    pairs = [pair(f"{s}{i}", f"{s}{i}", stratum=s) for s in "ab" for i in range(6)]
    assignment = folds.assign(pairs, 3, 0, {})
    for stratum in "ab":
        counts = [sum(assignment[f"{stratum}{i}"] == fold for i in range(6)) for fold in range(3)]
        assert counts == [2, 2, 2]


def test_lock_file_round_trip(tmp_path: Path) -> None:
    folds.write_lock(tmp_path / "x.folds.tsv", {"P2": 1, "P1": 0})
    assert folds.read_lock(tmp_path / "x.folds.tsv") == {"P1": 0, "P2": 1}


def test_no_lock_file_is_an_empty_one(tmp_path: Path) -> None:
    assert folds.read_lock(tmp_path / "none.tsv") == {}


def test_a_spoilt_lock_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text("patient\tfold\nP1\n")
    with pytest.raises(InputError, match="restore it, or delete it"):
        folds.read_lock(tmp_path / "x.tsv")


def subject(name: str, patient: str, group: str = "", fold: int | None = None) -> Subject:
    return Subject(id=name, patient=patient, image=Path(name), stratum=group, fold=fold)


def test_subjects_are_dealt_by_patient_and_group() -> None:
    people = [
        subject(f"{group}{i}", f"{group}P{i // 2}", group) for group in "ab" for i in range(12)
    ]
    assignment = folds.assign(people, 3, 0, {})
    for group in "ab":
        counts = [sum(assignment[f"{group}P{i}"] == fold for i in range(6)) for fold in range(3)]
        assert counts == [2, 2, 2]


def test_a_subjects_own_fold_is_taken() -> None:
    assert folds.assign([subject("a", "P1", fold=3), subject("b", "P2", fold=0)], 2, 0, {}) == {
        "P1": 3, "P2": 0,
    }  # fmt: skip


def test_a_pair_of_two_patients_gives_each_a_fold() -> None:
    pairs = [Pair(id="a", patients=("P1", "P2"), moving=Path("m"), fixed=Path("f"))]
    assert sorted(folds.assign(pairs, 2, 0, {}).values()) == [0, 1]
