from __future__ import annotations

import re
from pathlib import Path

import pytest

from tenter import chunks
from tenter.records import Pair, Set


def pair(name: str, patient: str, kind: Set = "cv") -> Pair:
    return Pair(id=name, patients=(patient,), moving=Path("m"), fixed=Path("f"), set=kind)


def test_pairs_of_a_patient_share_a_chunk() -> None:
    pairs = [pair(f"{patient}{i}", patient) for patient in "abcdefgh" for i in range(3)]
    dealt = chunks.deal(pairs, dict.fromkeys("abcdefgh", 0), 4)
    for patient in "abcdefgh":
        assert len({name for name, own in dealt.items() for p in own if p.patient == patient}) == 1


def test_a_chunk_is_named_by_its_fold_or_set() -> None:
    pairs = [pair("a", "P1"), pair("b", "P2", "train"), pair("c", "P3", "test")]
    assert list(chunks.deal(pairs, {"P1": 2}, 1)) == ["2-0", "test-0", "train-0"]


def test_names_match_the_wildcards_pattern() -> None:
    for name in ("0-0", "11-3", "train-0", "test-12"):
        assert re.fullmatch(chunks.PATTERN, name)


def test_a_removed_pair_leaves_the_other_chunks_alone() -> None:
    pairs = [pair(f"p{i}", f"P{i}") for i in range(30)]
    assignment = {f"P{i}": i % 3 for i in range(30)}
    before, after = chunks.deal(pairs, assignment, 3), chunks.deal(pairs[1:], assignment, 3)
    assert sum(before[name] != after.get(name) for name in before) == 1


def couple(name: str, *patients: str, kind: Set = "cv") -> Pair:
    return Pair(id=name, patients=patients, moving=Path("m"), fixed=Path("f"), set=kind)


FOLDS = {"P0": 0, "P1": 1, "P2": 10, "Q0": 0}


def test_a_pair_of_two_patients_is_grouped_by_their_folds() -> None:
    pairs = [
        couple("same", "P0", "Q0"),
        couple("across", "P2", "P1"),
        couple("trained", "T", "P1", kind="train"),
        couple("both trained", "T", "U", kind="train"),
        couple("tested", "V", "W", kind="test"),
    ]
    groups = [chunks.group(pair, FOLDS) for pair in pairs]
    assert groups == ["0", "1x10", "1xtrain", "train", "test"]
    assert all(re.fullmatch(chunks.PATTERN, f"{name}-0") for name in groups)


def test_a_cross_validated_patient_without_a_fold_is_no_trained_on_one() -> None:
    with pytest.raises(KeyError):
        chunks.group(couple("a", "P0", "stranger"), FOLDS)


def test_two_folds_test_none_of_their_common_pairs() -> None:
    tested = [chunks.tested_by(f"{name}-0") for name in ("0", "1x10", "1xtrain", "train", "test")]
    assert tested == ["0", None, None, None, "test"]


@pytest.mark.parametrize(
    ("fold", "names"),
    [
        ("0", ["1x10", "1xtrain", "train"]),
        ("1", ["0", "train"]),
        ("all", ["0", "1x10", "1xtrain", "train"]),
    ],
)
def test_a_model_learns_from_chunks_without_patients_of_its_fold(
    fold: str, names: list[str]
) -> None:
    every = ("0", "1x10", "1xtrain", "train", "test")
    assert [name for name in every if chunks.may_train(f"{name}-0", fold)] == names
