"""The table of pairs or of subjects: TSV or CSV, read as text, every complaint with row, column and fix.

One row is one pair of images, or one subject's image; the columns say which. Paths are
relative to the table's own folder or absolute.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from tenter import files
from tenter.config import Pairing
from tenter.errors import InputError
from tenter.manifest import paired, pairing, subjects
from tenter.manifest.cells import ID, files_behind, is_folder
from tenter.manifest.sheet import Sheet
from tenter.records import Fault, ImagePair, Pair, Subject

__all__ = [
    "ID",
    "SOURCES",
    "Cohort",
    "cohort",
    "digest",
    "files_behind",
    "image_pairs",
    "is_folder",
    "pairs",
    "place",
    "read",
    "row",
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
"""All pairs that subjects can make."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """What a table holds.

    Attributes:
        pairs: its rows, or the pairs drawn from its subjects.
        subjects: its rows, where they are subjects.
    """

    pairs: tuple[Pair, ...]
    subjects: tuple[Subject, ...] = ()

    @property
    def members(self) -> tuple[Pair, ...] | tuple[Subject, ...]:
        """The rows, of either kind: what is dealt to folds."""
        return self.subjects or self.pairs


def cohort(
    path: Path,
    stratum: str | None = None,
    data_root: Path | None = None,
    rules: Pairing = ANY,
    kept: Iterable[str] = (),
) -> Cohort:
    """Read a manifest; the arguments are those of `scan`.

    Raises:
        InputError: with every fault of the table.
    """
    found, faults = scan(path, stratum, data_root, rules, kept)
    _refuse(faults)
    return found


def read(path: Path, stratum: str | None = None, data_root: Path | None = None) -> tuple[Pair, ...]:
    """The pairs of a manifest; of a table of subjects all that they can make.

    Raises:
        InputError: with every fault of the table.
    """
    return cohort(path, stratum, data_root).pairs


def pairs(path: Path, ids: Iterable[str]) -> tuple[Pair, ...]:
    """The pairs with these ids, in the order asked for; `A--B` brings subject A to subject B.

    Raises:
        InputError: the table is faulty or lacks one of the ids.
    """
    return _pairs(path, path.stat().st_mtime_ns if path.exists() else None, tuple(ids))


@functools.lru_cache(maxsize=1)  # a stage and the record of what it read ask for the same
def _pairs(path: Path, _modified: int | None, wanted: tuple[str, ...]) -> tuple[Pair, ...]:
    sheet = Sheet(path, looks_up=False)
    table = sheet.table()
    by_id: dict[str, Pair] = {}
    if table is not None and subjects.is_table(table[0]):
        by_id = pairing.named(subjects.rows(sheet, table), wanted)
    elif table is not None:
        by_id = {pair.id: pair for pair in paired.rows(sheet, table)}
    _refuse(sheet.faults)
    missing = [name for name in wanted if name not in by_id]
    if missing:
        message = f"lacks the pairs {', '.join(missing)}"
        raise InputError([Fault(str(path), message, "do not edit the manifest while jobs run; run again")])
    return tuple(by_id[name] for name in wanted)


def image_pairs(path: Path, ids: Iterable[str]) -> tuple[ImagePair, ...]:
    """As `pairs`, without labels: all that image preparation and inference may see."""
    return tuple(pair.images() for pair in pairs(path, ids))


def digest(rows: Iterable[Pair], folder: Path) -> str:
    """Sha256 of what rows say; paths count relative to the table's `folder`, contents do not."""
    return files.digest([[pair.id, row(pair, folder)] for pair in rows])


def row(pair: Pair, folder: Path) -> dict[str, object]:
    """What a pair's row says to the stages, by attribute of `Pair`; empty cells are left out.

    The stratum decides about folds alone.

    Args:
        pair: the pair.
        folder: of the table; paths are relative to it.
    """
    values = {item.name: getattr(pair, item.name) for item in fields(Pair)}
    return {
        name: os.path.relpath(value, folder) if isinstance(value, Path) else value
        for name, value in values.items()
        if value is not None and name not in {"id", "row", "fixed_row", "stratum"}
    }


def sources(pairs: Iterable[ImagePair], columns: Iterable[str]) -> list[Path]:
    """The files behind what pairs name in these attributes of `Pair`, each once."""
    wanted = tuple(columns)
    named = (getattr(pair, column) for pair in pairs for column in wanted)
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
    return (pair.fixed_row if side == "fixed" else pair.row), kind if side in {"moving", "fixed"} else column


def scan(
    path: Path,
    stratum: str | None = None,
    data_root: Path | None = None,
    rules: Pairing = ANY,
    kept: Iterable[str] = (),
) -> tuple[Cohort, tuple[Fault, ...]]:
    """Read what can be read: the rows that name images, and every fault of the table.

    Args:
        path: TSV or CSV file.
        stratum: column whose values are spread evenly over folds.
        data_root: folder that every file must lie in, or None.
        rules: which pairs are made of subjects.
        kept: ids of pairs drawn earlier.
    """
    sheet = Sheet(path, stratum, Path(os.path.realpath(data_root)) if data_root else None)
    table = sheet.table()
    found = Cohort(())
    if table is None or not _is_as_stated(sheet, table[0], rules):
        pass
    elif subjects.is_table(table[0]):
        people = subjects.rows(sheet, table)
        found = Cohort(pairing.drawn(sheet, people, rules, kept), people)
    else:
        found = Cohort(paired.rows(sheet, table))
        if rules != Pairing(kind=rules.kind):
            fix = "remove it from the configuration, or give a table of subjects"
            sheet.complain("holds pairs: `pairing` has no effect", fix, 1, warn=True)
    return found, tuple(sorted(sheet.faults, key=lambda fault: (fault.row or 0, fault.column or "")))


def _is_as_stated(sheet: Sheet, columns: list[str], rules: Pairing) -> bool:
    kind, word = ("subjects", "subjects") if subjects.is_table(columns) else ("paired", "pairs")
    if rules.kind in {None, kind}:
        return True
    sheet.complain(f"holds {word}", f"correct `pairing.kind: {rules.kind}`, or the columns", 1)
    return False


def _refuse(faults: Iterable[Fault]) -> None:
    errors = [fault for fault in faults if fault.severity == "ERROR"]
    if errors:
        raise InputError(errors)
