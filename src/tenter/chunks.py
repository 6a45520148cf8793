"""Which pairs share a job: within one fold or set, by a stable hash of the patient.

A chunk's name is `<group>-<number>`. Its group says whose patients its pairs are of: `2` of one
fold; `0x2` of two folds, a patient of each; `train` or `test` of these sets; `2xtrain` of a fold
and of set `train`. A pair stays in its chunk when others come or go, so that only its own chunk
becomes stale.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from tenter.records import Pair

PATTERN = r"(?:\d+(?:x\d+|xtrain)?|train|test)-\d+"
TRAIN, TEST = "train", "test"


def group(pair: Pair, folds: Mapping[str, int]) -> str:
    """The folds of a cross-validated pair's patients, else its set, with the fold of a patient who has one.

    Args:
        pair: the pair.
        folds: patient to fold; of every cross-validated patient.
    """
    if pair.set == TEST:
        return TEST
    if pair.set == TRAIN:
        dealt = {folds[patient] for patient in pair.patients if patient in folds}
        return "x".join([*map(str, sorted(dealt)), TRAIN])
    return "x".join(map(str, sorted({folds[patient] for patient in pair.patients})))


def deal(pairs: Sequence[Pair], folds: Mapping[str, int], count: int) -> dict[str, tuple[Pair, ...]]:
    """Deal pairs to chunks.

    Args:
        pairs: the cohort.
        folds: patient to fold.
        count: chunks of each group (those without pairs do not exist).

    Returns:
        chunk to its pairs, both sorted.
    """
    chunks: dict[str, list[Pair]] = {}
    for pair in sorted(pairs, key=lambda item: item.id):
        name = f"{group(pair, folds)}-{_number(pair.patient, count)}"
        chunks.setdefault(name, []).append(pair)
    return {name: tuple(chunks[name]) for name in sorted(chunks)}


def tested_by(chunk: str) -> str | None:
    """The fold whose model saw no patient of a chunk that it tests, or `test`; None where none may."""
    name = chunk.rpartition("-")[0]
    return name if name == TEST or name.isdecimal() else None


def teaches(chunk: str, fold: str) -> bool:
    """Whether a fold's model may learn from a chunk: no patient of it is in that fold or tested by all.

    Args:
        chunk: its name.
        fold: a fold's name, or another word for a model that no fold is kept from.
    """
    return not {TEST, fold} & set(chunk.rpartition("-")[0].split("x"))


def _number(patient: str, count: int) -> int:
    return int.from_bytes(hashlib.sha256(patient.encode()).digest()[:8]) % count
