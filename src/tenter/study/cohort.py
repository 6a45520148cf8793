"""A study's pairs, divided into folds and chunks, and the lock files that remember the division."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, replace
from pathlib import Path

from tenter import chunks, folds, manifest, spelling
from tenter.config import Config
from tenter.config.yaml_files import beside
from tenter.errors import InputError
from tenter.manifest import Cohort, pairing
from tenter.records import Fault, Pair, Subject


@dataclass(frozen=True, eq=False)
class StudyCohort:
    """The content of a manifest, divided by the rules of a configuration.

    Attributes:
        settings: the validated configuration.
        config: its file.
        content: the rows of the manifest.
    """

    settings: Config
    config: Path
    content: Cohort

    @property
    def manifest(self) -> Path:
        """The table of pairs or subjects."""
        return beside(self.config, self.settings.manifest)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The rows of the manifest, or the pairs drawn from its subjects."""
        return self.content.pairs

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """The rows of the manifest, if they are subjects."""
        return self.content.subjects

    @property
    def folds_lock(self) -> Path:
        """The lock file of the folds, beside the configuration."""
        return self.config.with_name(f"{self.config.stem}.folds.tsv")

    @property
    def pairs_lock(self) -> Path:
        """The lock file of the pairs drawn from subjects, beside the configuration."""
        return _pairs_lock(self.config)

    @property
    def is_divided(self) -> bool:
        """Whether patients are assigned to folds: not if a finished model registers all pairs."""
        return self.settings.model is None

    @functools.cached_property
    def assignment(self) -> dict[str, int]:
        """Patient to fold; empty if a finished model is applied."""
        if not self.is_divided:
            return {}
        rules = self.settings.folds
        locked = folds.read_lock(self.folds_lock)
        return folds.assign(self.content.members, rules.count, rules.seed, locked)

    @property
    def folds(self) -> list[str]:
        """Names of the cross-validation's folds."""
        return [str(fold) for fold in sorted(set(self.assignment.values()))]

    @functools.cached_property
    def chunks(self) -> dict[str, tuple[Pair, ...]]:
        """Chunk to its pairs."""
        pairs = self.pairs if self.is_divided else tuple(map(_as_test, self.pairs))
        return chunks.deal(pairs, self.assignment, self.settings.chunks.count)

    def training_chunks(self, fold: str) -> list[str]:
        """Chunks on which a fold's model may be trained: no patients of that fold or `test`."""
        return [chunk for chunk in self.chunks if chunks.may_train(chunk, fold)]

    def registered_chunks(self) -> list[str]:
        """Chunks whose pairs are registered: those of one fold, and those of set `test`."""
        return [chunk for chunk in self.chunks if chunks.tested_by(chunk) is not None]

    @functools.cached_property
    def registered(self) -> frozenset[str]:
        """Ids of the pairs that are registered."""
        return frozenset(
            pair.id for chunk in self.registered_chunks() for pair in self.chunks[chunk]
        )

    def testing_folds(self, chunk: str) -> list[str]:
        """Folds whose models register a chunk: its own, or all of them for `test`.

        Raises:
            ValueError: the chunk is not registered.
        """
        group = chunks.tested_by(chunk)
        if group is None:
            message = f"chunk {chunk} is of two folds or of set `train`: no model is tested on it"
            raise ValueError(message)
        return self.folds if group == chunks.TEST else [group]

    def files(self, chunk: str, stage: str) -> list[Path]:
        """The files of a chunk's pairs that a stage reads."""
        return manifest.sources(self.chunks[chunk], manifest.SOURCES[stage])

    def record_folds(self, copy: Path) -> None:
        """Write the lock file if it changes, and the study's copy of it."""
        if folds.read_lock(self.folds_lock) != self.assignment:
            folds.write_lock(self.folds_lock, self.assignment)
        folds.write_lock(copy, self.assignment)

    def record_pairs(self, copy: Path) -> None:
        """Write pairs of subjects: to the lock file if they were drawn, to a copy for `plan`."""
        if not self.subjects:
            return
        ids = sorted(pair.id for pair in self.pairs)
        drawn = self.settings.pairing.pairs_per_subject is not None
        if drawn and pairing.read_lock(self.pairs_lock) != tuple(ids):
            pairing.write_lock(self.pairs_lock, ids)
        pairing.write_lock(copy, ids)


def scan(settings: Config, config: Path) -> tuple[StudyCohort, tuple[Fault, ...]]:
    """Read the manifest that a configuration names as far as possible, with every fault of it.

    Args:
        settings: the validated configuration.
        config: its file; relative paths in it are relative to the folder of this file.
    """
    root = beside(config, settings.data_root) if settings.data_root else None
    if root is not None and not os.path.isdir(root):  # noqa: PTH112 - Path raises on long names
        return StudyCohort(settings, config, Cohort(())), (_no_root(config, root),)
    try:
        drawn = pairing.read_lock(_pairs_lock(config))
    except InputError as error:
        return StudyCohort(settings, config, Cohort(())), error.faults
    content, faults = manifest.scan(
        beside(config, settings.manifest), settings.stratum, root, settings.pairing, drawn
    )
    return StudyCohort(settings, config, content), faults


def read(settings: Config, config: Path) -> StudyCohort:
    """Read the manifest that a configuration names; the arguments are those of `scan`.

    Raises:
        InputError: with every fault of the manifest.
    """
    cohort, faults = scan(settings, config)
    errors = [fault for fault in faults if fault.severity == "ERROR"]
    if errors:
        raise InputError(errors)
    return cohort


def _no_root(config: Path, root: Path) -> Fault:
    near = spelling.nearby(root)
    message = f"no folder {root}" + (f"; {near}" if near else "")
    return Fault(str(config), message, "name the folder of the data", column="data_root")


def _pairs_lock(config: Path) -> Path:
    return config.with_name(f"{config.stem}.pairs.tsv")


def _as_test(pair: Pair) -> Pair:
    return replace(pair, set="test", fold=None)
