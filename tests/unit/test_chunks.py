from __future__ import annotations

import re
from pathlib import Path

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
