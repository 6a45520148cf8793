"""Checks, before a study runs, that its folders can be written and their names are portable."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tenter import folds, spelling
from tenter.config import Config
from tenter.manifest import pairing
from tenter.records import Fault
from tenter.study import Study


def faults(path: Path, settings: Config) -> Iterator[Fault]:
    """Obstacles to writing results, and names that other systems do not allow.

    Args:
        path: the configuration file.
        settings: its content.
    """
    problem = _obstacle(settings.results / settings.study)
    if problem is not None:
        yield Fault(str(path), *problem, column="results")
    names = [("study", settings.study), *(("results", part) for part in settings.results.parts)]
    names += [
        (f"{'baselines' if name in settings.baselines else 'models'}.{name}", name)
        for name in settings.registering_names()
    ]
    for key, name in names:
        reason = spelling.reserved(name)
        if reason:
            fix = "rename it if results will be copied there"
            yield Fault(str(path), f"{name!r} {reason}", fix, column=key, severity="WARNING")


def locks(study: Study) -> Iterator[Fault]:
    """Lock files that must be written beside the configuration, if its folder is not writable."""
    folder = study.path.absolute().parent
    if os.access(folder, os.W_OK):
        return
    needed = []
    cohort = study.cohort
    if cohort.is_divided and folds.read_lock(cohort.folds_lock) != cohort.assignment:
        needed.append((cohort.folds_lock, "which patient is in which fold"))
    drawn = study.config.pairing.pairs_per_subject is not None and cohort.subjects
    if drawn and set(pairing.read_lock(cohort.pairs_lock)) != {pair.id for pair in cohort.pairs}:
        needed.append((cohort.pairs_lock, "which pairs were drawn"))
    for lock, content in needed:
        message = (
            f"{lock.name} cannot be written to {folder}: it remembers {content}, "
            "and lies beside the configuration so that every run of the study finds it"
        )
        fix = "copy the configuration to a folder of your own, and correct its relative paths"
        yield Fault(str(study.path), message, fix)


def _obstacle(folder: Path) -> tuple[str, str] | None:
    """Why a folder cannot be created or written, and the fix; None if it can."""
    # The functions of os.path give False for a name that is too long; those of Path raise.
    for part in (*reversed(folder.parents), folder):
        if part.is_symlink() and not os.path.exists(part):  # noqa: PTH110
            target = part.parent / part.readlink()
            return (
                f"{part} is a link to {target}, which does not exist",
                f"make that folder (`mkdir -p {spelling.for_shell(target)}`), or correct the link",
            )
        if os.path.lexists(part) and not os.path.isdir(part):  # noqa: PTH112
            return f"{part} is not a folder", "choose another folder, or rename that file"
    parts = (folder, *folder.parents)
    existing = next(part for part in parts if os.path.isdir(part))  # noqa: PTH112
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"{existing} cannot be written to", "choose another folder, or ask for permission"
    return None
