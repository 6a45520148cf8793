"""Chunks of pairs, one job each: within one fold or set, by a stable hash of the patient.

A chunk's name is `<group>-<number>`. The group is that of the pairs' patients: `2` for one fold;
`0x2` for one patient of each of two folds; `train` or `test` for these sets; `2xtrain` for a
patient of a fold and one of set `train`. A pair stays in its chunk when other pairs are added or
removed, so that only the chunks of those become stale.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from tenter.records import Pair

PATTERN = r"(?:\d+(?:x\d+|xtrain)?|train|test)-\d+"
TRAIN, TEST = "train", "test"


def group(pair: Pair, folds: Mapping[str, int]) -> str:
    """Folds of a cross-validated pair's patients; for other pairs the set, and folds of patients.

    Args:
        pair: the pair.
        folds: patient to fold, for every cross-validated patient.
    """
    if pair.set == TEST:
        return TEST
    if pair.set == TRAIN:
        dealt = {folds[patient] for patient in pair.patients if patient in folds}
        return "x".join([*map(str, sorted(dealt)), TRAIN])
    return "x".join(map(str, sorted({folds[patient] for patient in pair.patients})))


def deal(
    pairs: Sequence[Pair], folds: Mapping[str, int], count: int
) -> dict[str, tuple[Pair, ...]]:
    """Distribute pairs over chunks.

    Args:
        pairs: the cohort.
        folds: patient to fold.
        count: number of chunks of each group; empty ones are left out.

    Returns:
        chunk to its pairs, both sorted.
    """
    chunks: dict[str, list[Pair]] = {}
    for pair in sorted(pairs, key=lambda pair: pair.id):
        name = f"{group(pair, folds)}-{_number(pair.patient, count)}"
        chunks.setdefault(name, []).append(pair)
    return {name: tuple(chunks[name]) for name in sorted(chunks)}


def tested_by(chunk: str) -> str | None:
    """The fold whose model is tested on a chunk, or `test` for all models; None for none."""
    name = _group_of(chunk)
    return name if name == TEST or name.isdecimal() else None


def may_train(chunk: str, fold: str) -> bool:
    """Whether a fold's model may be trained on a chunk: without patients of that fold or `test`.

    Args:
        chunk: name of the chunk.
        fold: name of a fold, or another word for a model that is trained on all folds.
    """
    return not {TEST, fold} & set(_group_of(chunk).split("x"))


def _group_of(chunk: str) -> str:
    return chunk.rpartition("-")[0]


def _number(patient: str, count: int) -> int:
    return int.from_bytes(hashlib.sha256(patient.encode()).digest()[:8]) % count
