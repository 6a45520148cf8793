"""Splits by patient: folds that stay when a cohort grows, and validation within a fold.

The first deal is balanced over folds (and strata); later patients go to the fold with
the fewest pairs. The lock file beside the configuration remembers the assignment.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tenter import files
from tenter.errors import DamagedFileError, InputError
from tenter.records import Fault, ImagePair, Subject


def assign(
    members: Sequence[ImagePair | Subject], count: int, seed: int, locked: Mapping[str, int]
) -> dict[str, int]:
    """Assign every cross-validated patient to a fold.

    A pair of two subjects ties its patients' folds to nothing: each patient has a fold of
    its own, and who is tested by whom follows from both.

    Args:
        members: the cohort's rows, pairs or subjects; only those of set `cv` count.
        count: number of folds.
        seed: decides the order in which new patients are dealt.
        locked: earlier assignment; kept for every patient that is still there.

    Returns:
        patient to fold, sorted by patient.

    Raises:
        InputError: fewer patients than folds.
    """
    weights: Counter[str] = Counter()
    strata: dict[str, str] = {}
    own: dict[str, int] = {}
    for member in members:
        if member.set != "cv":
            continue
        for patient in member.patients:
            weights[patient] += 1
            strata[patient] = member.stratum or ""
            if member.fold is not None:
                own[patient] = member.fold
    if own:
        return dict(sorted(own.items()))
    if len(weights) < count:
        message = f"{len(weights)} cross-validated patients cannot fill {count} folds"
        fault = Fault("manifest", message, "lower `folds.count` or add patients", column="patient")
        raise InputError([fault])
    kept = {patient: fold for patient, fold in locked.items() if patient in weights and fold < count}
    return dict(sorted((kept | _deal(weights, strata, kept, count, seed)).items()))


def _deal(
    weights: Mapping[str, int], strata: Mapping[str, str], kept: Mapping[str, int], count: int, seed: int
) -> dict[str, int]:
    """Deal new patients, those with most pairs first, each to the emptiest fold of its stratum."""
    load = Counter(dict.fromkeys(range(count), 0))
    in_stratum: dict[str, Counter[int]] = defaultdict(Counter)
    for patient, fold in kept.items():
        load[fold] += weights[patient]
        in_stratum[strata[patient]][fold] += weights[patient]
    dealt = {}
    new = (patient for patient in weights if patient not in kept)
    for patient in sorted(new, key=lambda name: (-weights[name], _shuffle(name, seed))):
        counts = in_stratum[strata[patient]]
        fold = min(load, key=lambda item: (counts[item] if strata[patient] else 0, load[item], item))
        dealt[patient] = fold
        load[fold] += weights[patient]
        counts[fold] += weights[patient]
    return dealt


def _shuffle(patient: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{patient}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Split:
    """The training part of a fold, split by patient.

    Attributes:
        training: pairs to learn from.
        validation: pairs whose patients are all set aside.
        left_out: pairs of two patients of which one is set aside; of use to neither.
    """

    training: tuple[str, ...]
    validation: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def set_aside(patients: Mapping[str, Sequence[str]], fraction: float, *, seed: int, fold: str) -> Split:
    """Set patients aside for validation, by a hash of their ids, so that they stay as a cohort grows.

    At least one patient is set aside, and as many more as it takes to have a validation pair. Where
    that would leave nothing to learn from, none is.

    Args:
        patients: of each pair.
        fraction: share of patients; 0 is none.
        seed: of the training.
        fold: of the training.
    """
    everyone = {patient for ids in patients.values() for patient in ids}
    order = sorted(everyone, key=lambda patient: hashlib.sha256(f"{seed}/{fold}/{patient}".encode()).digest())
    if fraction == 0:
        return Split(tuple(patients))
    for count in range(max(1, round(fraction * len(order))), len(order)):
        split = _split(patients, set(order[:count]))
        if not split.training:
            break
        if split.validation:
            return split
    return Split(tuple(patients))


def _split(patients: Mapping[str, Sequence[str]], held: set[str]) -> Split:
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for pair, ids in patients.items():
        seen = held.isdisjoint(ids)
        parts[0 if seen else 1 if held.issuperset(ids) else 2].append(pair)
    return Split(*(tuple(part) for part in parts))


def read_lock(path: Path) -> dict[str, int]:
    """Read a lock file (`patient`, `fold`); empty where there is none.

    Raises:
        InputError: the file is damaged.
        DataError: it cannot be read.
    """
    if not path.exists():
        return {}
    fix = "restore it, or delete it to deal anew"
    try:
        rows = files.read_table(path, ("patient", "fold"), fix)
    except DamagedFileError as error:
        raise InputError([error.fault]) from error
    if not rows:
        raise InputError([Fault(str(path), "names no patient", fix)])
    for number, row in rows:
        if not (row["fold"].isascii() and row["fold"].isdigit()):
            fault = Fault(str(path), f"is {row['fold']!r}, not the number of a fold", fix, number, "fold")
            raise InputError([fault])
    return {row["patient"]: int(row["fold"]) for _, row in rows}


def write_lock(path: Path, folds: Mapping[str, int]) -> None:
    """Write an assignment, whole or not at all."""
    lines = ["patient\tfold", *(f"{patient}\t{fold}" for patient, fold in sorted(folds.items()))]
    files.write_text(path, "\n".join(lines) + "\n")
