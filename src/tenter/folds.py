"""Splits by patient: folds that are stable as a cohort grows, and validation within a fold.

The first assignment is balanced over folds (and strata); later patients join the fold with
the fewest pairs. The lock file beside the configuration records the assignment.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tenter import files
from tenter.errors import DataError, InputError
from tenter.records import Fault, ImagePair, Subject


def assign(
    members: Sequence[ImagePair | Subject], count: int, seed: int, locked: Mapping[str, int]
) -> dict[str, int]:
    """Assign every cross-validated patient to a fold.

    Each patient is assigned individually, also the two patients of a pair of subjects, who may be
    in different folds; both folds decide which models may be tested on the pair.

    Args:
        members: rows of the cohort, pairs or subjects; only those of set `cv` count.
        count: number of folds.
        seed: determines the order in which new patients are assigned.
        locked: earlier assignment, which is kept for every patient still in the cohort.

    Returns:
        patient to fold, sorted by patient.

    Raises:
        InputError: there are fewer patients than folds.
    """
    weights: Counter[str] = Counter()
    strata: dict[str, str] = {}
    user_folds: dict[str, int] = {}
    for member in members:
        if member.set != "cv":
            continue
        for patient in member.patients:
            weights[patient] += 1
            strata[patient] = member.stratum or ""
            if member.fold is not None:
                user_folds[patient] = member.fold
    if user_folds:
        return dict(sorted(user_folds.items()))
    if len(weights) < count:
        message = f"{len(weights)} cross-validated patients cannot fill {count} folds"
        fault = Fault("manifest", message, "lower `folds.count` or add patients", column="patient")
        raise InputError([fault])
    retained = {
        patient: fold for patient, fold in locked.items() if patient in weights and fold < count
    }
    return dict(sorted((retained | _deal(weights, strata, retained, count, seed)).items()))


def _deal(
    weights: Mapping[str, int],
    strata: Mapping[str, str],
    retained: Mapping[str, int],
    count: int,
    seed: int,
) -> dict[str, int]:
    """Assign new patients, most pairs first, each to the emptiest fold of the stratum."""
    load = Counter(dict.fromkeys(range(count), 0))
    in_stratum: dict[str, Counter[int]] = defaultdict(Counter)
    for patient, fold in retained.items():
        load[fold] += weights[patient]
        in_stratum[strata[patient]][fold] += weights[patient]
    dealt = {}
    new = (patient for patient in weights if patient not in retained)
    for patient in sorted(new, key=lambda name: (-weights[name], _shuffled_key(name, seed))):
        counts = in_stratum[strata[patient]]
        fold = min(
            load,
            key=lambda candidate: (
                counts[candidate] if strata[patient] else 0,
                load[candidate],
                candidate,
            ),
        )
        dealt[patient] = fold
        load[fold] += weights[patient]
        counts[fold] += weights[patient]
    return dealt


def _shuffled_key(patient: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{patient}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Split:
    """The training part of a fold, split by patient.

    Attributes:
        training: pairs to train on.
        validation: pairs whose patients are all held out.
        left_out: pairs of a held-out and another patient, which are not used.
    """

    training: tuple[str, ...]
    validation: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def set_aside(
    patients: Mapping[str, Sequence[str]], fraction: float, *, seed: int, fold: str
) -> Split:
    """Hold out patients for validation, chosen by a stable hash of their ids.

    At least one patient is held out, and as many as are needed for one validation pair. If no pair
    remained to train on, none is held out.

    Args:
        patients: patients of each pair.
        fraction: share of patients to hold out; 0: none.
        seed: seed of the training.
        fold: fold of the training.
    """
    everyone = {patient for ids in patients.values() for patient in ids}
    order = sorted(
        everyone, key=lambda patient: hashlib.sha256(f"{seed}/{fold}/{patient}".encode()).digest()
    )
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
    """Read a lock file (`patient`, `fold`); empty if there is no file.

    Raises:
        InputError: the file cannot be read or is damaged.
    """
    if not path.exists():
        return {}
    fix = "restore it, or delete it to assign folds anew"
    try:
        rows = files.read_table(path, ("patient", "fold"), fix)
    except DataError as error:
        raise InputError(error.faults) from error
    if not rows:
        raise InputError([Fault(str(path), "names no patient", fix)])
    for number, row in rows:
        if not (row["fold"].isascii() and row["fold"].isdigit()):
            fault = Fault(
                str(path), f"is {row['fold']!r}, not the number of a fold", fix, number, "fold"
            )
            raise InputError([fault])
    return {row["patient"]: int(row["fold"]) for _, row in rows}


def write_lock(path: Path, folds: Mapping[str, int]) -> None:
    """Write an assignment atomically."""
    lines = ["patient\tfold", *(f"{patient}\t{fold}" for patient, fold in sorted(folds.items()))]
    files.write_text(path, "\n".join(lines) + "\n")
