"""Which pairs share a job: within one fold or set, by a stable hash of the patient.

A chunk's name is `<fold>-<number>`, `train-<number>` or `test-<number>`. A pair stays in
its chunk when others come or go, so that only its own chunk becomes stale.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from tenter.records import Pair

PATTERN = r"(?:\d+|train|test)-\d+"


def group(pair: Pair, folds: Mapping[str, int]) -> str:
    """The fold of a cross-validated pair, else its set."""
    return str(folds[pair.patients[0]]) if pair.set == "cv" else pair.set


def deal(pairs: Sequence[Pair], folds: Mapping[str, int], count: int) -> dict[str, tuple[Pair, ...]]:
    """Deal pairs to chunks.

    Args:
        pairs: the cohort.
        folds: patient to fold.
        count: chunks of each fold or set (those without pairs do not exist).

    Returns:
        chunk to its pairs, both sorted.
    """
    chunks: dict[str, list[Pair]] = {}
    for pair in sorted(pairs, key=lambda item: item.id):
        name = f"{group(pair, folds)}-{_number(pair.patient, count)}"
        chunks.setdefault(name, []).append(pair)
    return {name: tuple(chunks[name]) for name in sorted(chunks)}


def _number(patient: str, count: int) -> int:
    return int.from_bytes(hashlib.sha256(patient.encode()).digest()[:8]) % count
