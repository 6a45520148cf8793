"""Pairing of subjects: all allowed pairs, or a random draw that is stable as a cohort grows.

The pair `A--B` registers subject A (moving) to subject B (fixed). Pairs are drawn by a hash and
recorded in the lock file beside the configuration.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tenter import files
from tenter.config import Pairing
from tenter.errors import DataError, InputError
from tenter.manifest.sheet import Sheet
from tenter.records import JOIN, Fault, Pair, Set, Subject

MOST = 100_000
"""Largest number of pairs without a draw."""

Couple = tuple[Subject, Subject]


def drawn(
    sheet: Sheet, subjects: Sequence[Subject], rules: Pairing, locked: Iterable[str]
) -> tuple[Pair, ...]:
    """The pairs of a study's subjects; reports rules that cannot be met.

    Args:
        sheet: the table of the subjects.
        subjects: its rows.
        rules: rules by which subjects are paired.
        locked: ids of pairs drawn earlier, which are kept if the rules still allow them.
    """
    before = sheet.errors()
    _check_groups(sheet, subjects, rules)
    _check_number(sheet, subjects, rules)
    if sheet.errors() > before or not subjects:
        return ()
    ordered = sorted(subjects, key=lambda subject: subject.id)
    couples = (
        list(_all(ordered, rules))
        if rules.pairs_per_subject is None
        else _draw(ordered, rules, locked)
    )
    _check_use(sheet, subjects, couples)
    return tuple(_pair(*couple) for couple in couples)


def read_lock(path: Path) -> tuple[str, ...]:
    """Ids of the pairs in a lock file; empty if there is no file.

    Raises:
        InputError: the file cannot be read or is damaged.
    """
    if not path.exists():
        return ()
    fix = "restore it, or delete it to draw anew"
    try:
        rows = files.read_table(path, ("pair",), fix)
    except DataError as error:
        raise InputError(error.faults) from error
    if not rows:
        raise InputError([Fault(str(path), "names no pair", fix)])
    for number, row in rows:
        if JOIN not in row["pair"]:
            fault = Fault(
                str(path),
                f"is {row['pair']!r}, not two subjects joined by {JOIN}",
                fix,
                number,
                "pair",
            )
            raise InputError([fault])
    return tuple(row["pair"] for _, row in rows)


def write_lock(path: Path, ids: Iterable[str]) -> None:
    """Write the ids of drawn pairs, whole or not at all."""
    files.write_text(path, "\n".join(["pair", *sorted(ids)]) + "\n")


def _all(subjects: Sequence[Subject], rules: Pairing) -> Iterator[Couple]:
    return ((a, b) for a in subjects for b in subjects if _is_allowed(a, b, rules))


def _draw(subjects: Sequence[Subject], rules: Pairing, locked: Iterable[str]) -> list[Couple]:
    """Draw for each subject, in the order of a hash, the pairs that it lacks, partners by a hash.

    The lock is necessary: a draw that depends on the subjects alone and keeps its pairs whoever
    joins would have to contain all pairs.
    """
    minimum = rules.pairs_per_subject or 0
    by_id = {subject.id: subject for subject in subjects}
    chosen: dict[tuple[str, str], Couple] = {}
    degree: Counter[str] = Counter()

    def choose(couple: Couple) -> None:
        moving, fixed = couple
        chosen[moving.id, fixed.id] = couple
        degree.update((moving.id, fixed.id))

    for name in locked:
        first, _, second = name.partition(JOIN)
        moving, fixed = by_id.get(first), by_id.get(second)
        if (
            moving is not None
            and fixed is not None
            and (moving.id, fixed.id) not in chosen
            and _is_allowed(moving, fixed, rules)
        ):
            choose((moving, fixed))
    for subject in sorted(subjects, key=lambda subject: _hash(rules.seed, subject.id)):
        lacking = minimum - degree[subject.id]
        if lacking <= 0:
            continue
        both = (
            couple for partner in subjects for couple in ((subject, partner), (partner, subject))
        )
        free = [
            (moving, fixed)
            for moving, fixed in both
            if (moving.id, fixed.id) not in chosen and _is_allowed(moving, fixed, rules)
        ]
        for couple in sorted(free, key=lambda couple: _hash(rules.seed, _name(*couple)))[:lacking]:
            choose(couple)
    return [chosen[key] for key in sorted(chosen)]


def _is_allowed(moving: Subject, fixed: Subject, rules: Pairing) -> bool:
    if moving.id == fixed.id or _set(moving, fixed) is None:
        return False
    same = moving.group == fixed.group
    if rules.groups != "mixed" and same != (rules.groups == "within"):
        return False
    return same or not rules.forward or _rank(moving, rules) < _rank(fixed, rules)


def _rank(subject: Subject, rules: Pairing) -> int:
    return rules.forward.index(subject.group)


def _set(moving: Subject, fixed: Subject) -> Set | None:
    """Set of a pair; None where one subject is of set `test` and the other is not.

    A pair with a subject of set `train` is used for training only, by models that may use both.
    """
    sets = {moving.set, fixed.set}
    if "test" in sets:
        return "test" if sets == {"test"} else None
    return "train" if "train" in sets else "cv"


def _pair(moving: Subject, fixed: Subject) -> Pair:
    labelled = moving.labels is not None and fixed.labels is not None
    pointed = moving.points is not None and fixed.points is not None
    return Pair(
        id=_name(moving, fixed),
        patients=tuple(dict.fromkeys((moving.patient, fixed.patient))),
        moving=moving.image,
        fixed=fixed.image,
        moving_labels=moving.labels if labelled else None,
        fixed_labels=fixed.labels if labelled else None,
        moving_points=moving.points if pointed else None,
        fixed_points=fixed.points if pointed else None,
        set=_set(moving, fixed) or "cv",
        row=moving.row,
        fixed_row=fixed.row,
    )


def _name(moving: Subject, fixed: Subject) -> str:
    return f"{moving.id}{JOIN}{fixed.id}"


def _hash(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()


def _check_groups(sheet: Sheet, subjects: Sequence[Subject], rules: Pairing) -> None:
    if rules.groups == "mixed" and not rules.forward:
        return
    fix = "name the groups, or set `pairing.groups: mixed` without `forward`"
    if not any(subject.group for subject in subjects):
        sheet.complain("is blank in all rows, but decides who is paired", fix, 1, "group")
        return
    for subject in subjects:
        if not subject.group:
            sheet.complain("is blank", fix, subject.row, "group")
        elif rules.forward and subject.group not in rules.forward:
            message = f"is {subject.group!r}, which `pairing.forward` does not name"
            sheet.complain(
                message, f"use one of {', '.join(rules.forward)}, or add it", subject.row, "group"
            )
    for name in sorted(set(rules.forward) - {subject.group for subject in subjects}):
        message = f"holds no {name!r}, which `pairing.forward` names"
        sheet.complain(message, "correct the name, or leave it out", column="group")


def _check_number(sheet: Sheet, subjects: Sequence[Subject], rules: Pairing) -> None:
    if rules.pairs_per_subject is not None:
        return
    sizes = Counter(subject.group for subject in subjects)
    within = sum(size * (size - 1) for size in sizes.values())
    every = len(subjects) * (len(subjects) - 1)
    count = {"mixed": every, "within": within, "between": every - within}[rules.groups]
    if count > MOST:
        fix = "draw some of them: set `pairing.pairs_per_subject`"
        sheet.complain(
            f"makes up to {count} pairs of {len(subjects)} subjects", fix, column="subject"
        )


def _check_use(sheet: Sheet, subjects: Sequence[Subject], couples: Sequence[Couple]) -> None:
    used = {subject.id for couple in couples for subject in couple}
    idle = [subject for subject in subjects if subject.id not in used]
    fix = "see `pairing.groups`; subjects of set `test` are paired only with each other"
    if not couples:
        sheet.complain("makes no pair: no two of its subjects may be paired", fix, column="subject")
        return
    for subject in idle:
        sheet.complain(f"{subject.id!r} is in no pair", fix, subject.row, "subject", warn=True)
