"""Checks of the transforms that another program computed, which the configuration names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tenter import spelling
from tenter.config import External
from tenter.config.baselines import of_pair, relative_to
from tenter.errors import InputError
from tenter.intake.integrity import Findings, Kind
from tenter.records import Fault
from tenter.study import StudyCohort

KIND: Kind = "map"


@dataclass(frozen=True, slots=True)
class Named:
    """A transform that a baseline names for a pair."""

    key: str
    pair: str
    path: Path


def uses(cohort: StudyCohort) -> list[tuple[Path, Kind]]:
    """The transforms that the baselines of a study read, to be examined."""
    return [(named.path, KIND) for key in _named(cohort).values() for named in key]


def faults(cohort: StudyCohort, findings: Findings) -> Iterator[Fault]:
    """Transforms that are missing or cannot be read, each with its pair and configuration key.

    Args:
        cohort: the cohort.
        findings: of `uses`.
    """
    for key, entries in _named(cohort).items():
        absent = [named for named in entries if not os.path.lexists(named.path)]
        if len(absent) > 1 and len(absent) == len(entries):
            message = f"no pair has a transform: {absent[0].path} does not exist, nor any other"
            yield Fault(str(cohort.config), message, "correct the path", column=key)
            continue
        for named in entries:
            for problem in findings[named.path, KIND].faults:
                near = spelling.nearby(named.path) if named in absent else ""
                clause = f"; {near}" if near else ""
                message = f"pair {named.pair}: {named.path} {problem.message}{clause}"
                yield Fault(str(cohort.config), message, problem.fix, None, key, problem.severity)


def _named(cohort: StudyCohort) -> dict[str, list[Named]]:
    """The transforms of all registered pairs, by configuration key; none without valid folds."""
    settings = cohort.settings
    if settings.model == Path(os.devnull):  # a configuration whose models are at fault
        cohort = replace(cohort, settings=settings.model_copy(update={"model": None}))
    try:
        pairs = sorted(cohort.registered)
    except InputError:
        return {}
    entries: dict[str, list[Named]] = {}
    for name, baseline in settings.baselines.items():
        method = relative_to(cohort.config, baseline)
        if isinstance(method, External):
            key = f"baselines.{name}.transform"
            paths = ((pair, of_pair(method.transform, pair)) for pair in pairs)
            entries[key] = [Named(key, pair, path) for pair, path in paths]
    return entries
