"""The manifest, a table of pairs or of subjects: TSV or CSV, read as text.

A row is a pair of images or the image of a subject; the columns show which. Paths are absolute
or relative to the table's folder. Every fault carries row, column and fix.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tenter.config import Pairing
from tenter.errors import InputError
from tenter.manifest import paired, pairing, subjects
from tenter.manifest.cells import ID
from tenter.manifest.companions import files_behind, is_folder
from tenter.manifest.sheet import Sheet
from tenter.records import Fault, ImagePair, Pair, Subject

__all__ = [
    "ID",
    "SOURCES",
    "Cohort",
    "cohort",
    "files_behind",
    "is_folder",
    "place",
    "read",
    "scan",
    "sources",
]

SOURCES = {
    "prepare_images": ("moving", "fixed", "initial_transform"),
    "prepare_labels": ("moving_labels", "fixed_labels"),
    "evaluate": ("moving_labels", "fixed_labels", "moving_points", "fixed_points"),
}
"""Attributes of `Pair` whose files a stage reads."""

ANY = Pairing()
"""Rules that admit all pairs of subjects."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """The content of a manifest.

    Attributes:
        pairs: its rows, or the pairs drawn from its subjects.
        subjects: its rows, where they are subjects.
    """

    pairs: tuple[Pair, ...]
    subjects: tuple[Subject, ...] = ()

    @property
    def members(self) -> tuple[Pair, ...] | tuple[Subject, ...]:
        """The rows, pairs or subjects, which are assigned to folds."""
        return self.subjects or self.pairs


def cohort(
    path: Path,
    stratum: str | None = None,
    data_root: Path | None = None,
    rules: Pairing = ANY,
    locked: Iterable[str] = (),
) -> Cohort:
    """Read a manifest; the arguments are those of `scan`.

    Raises:
        InputError: with every fault of the table.
    """
    result, faults = scan(path, stratum, data_root, rules, locked)
    _refuse(faults)
    return result


def read(path: Path, stratum: str | None = None, data_root: Path | None = None) -> tuple[Pair, ...]:
    """The pairs of a manifest; for a table of subjects all possible pairs.

    Raises:
        InputError: with every fault of the table.
    """
    return cohort(path, stratum, data_root).pairs


def sources(pairs: Iterable[ImagePair], columns: Iterable[str]) -> list[Path]:
    """The files that pairs name in these attributes of `Pair`, each once."""
    attributes = tuple(columns)
    named = (getattr(pair, column) for pair in pairs for column in attributes)
    paths = dict.fromkeys(path for path in named if path is not None)
    return list(dict.fromkeys(file for path in paths for file in files_behind(path)))


def place(pair: Pair, column: str) -> tuple[int, str]:
    """Row and column of the table where a pair's file is named.

    Args:
        pair: the pair.
        column: as in a table of pairs, such as `moving_labels`.
    """
    if pair.fixed_row is None:
        return pair.row, column
    side, _, kind = column.partition("_")
    return (pair.fixed_row if side == "fixed" else pair.row), kind if side in {
        "moving",
        "fixed",
    } else column


def scan(
    path: Path,
    stratum: str | None = None,
    data_root: Path | None = None,
    rules: Pairing = ANY,
    locked: Iterable[str] = (),
) -> tuple[Cohort, tuple[Fault, ...]]:
    """Read a manifest as far as possible: the rows that name images, and every fault.

    Args:
        path: TSV or CSV file.
        stratum: column whose values are distributed evenly over folds.
        data_root: folder that must contain every file, or None.
        rules: rules by which subjects are paired.
        locked: ids of pairs drawn earlier.
    """
    sheet = Sheet(path, stratum, Path(os.path.realpath(data_root)) if data_root else None)
    table = sheet.table()
    result = Cohort(())
    if table is None or not _is_as_stated(sheet, table[0], rules):
        pass
    elif subjects.is_table(table[0]):
        rows = subjects.rows(sheet, table)
        result = Cohort(pairing.drawn(sheet, rows, rules, locked), rows)
    else:
        result = Cohort(paired.rows(sheet, table))
        if rules != Pairing(kind=rules.kind):
            fix = "remove it from the configuration, or give a table of subjects"
            sheet.complain("holds pairs: `pairing` has no effect", fix, 1, warn=True)
    return result, tuple(
        sorted(sheet.faults, key=lambda fault: (fault.row or 0, fault.column or ""))
    )


def _is_as_stated(sheet: Sheet, columns: list[str], rules: Pairing) -> bool:
    kind, noun = ("subjects", "subjects") if subjects.is_table(columns) else ("paired", "pairs")
    if rules.kind in {None, kind}:
        return True
    sheet.complain(f"holds {noun}", f"correct `pairing.kind: {rules.kind}`, or the columns", 1)
    return False


def _refuse(faults: Iterable[Fault]) -> None:
    errors = [fault for fault in faults if fault.severity == "ERROR"]
    if errors:
        raise InputError(errors)
