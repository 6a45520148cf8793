"""Which transforms of a pair are measured, and as which fold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tenter import tables
from tenter.errors import DataError
from tenter.measurement.metric_tables import ENSEMBLE
from tenter.records import Fault, FileEntry
from tenter.result_files import TRANSFORM

TEST: Final = "test"
"""Fold of pairs that the models of all folds registered, and the set that they count in."""


def read(table: Path) -> dict[str, list[FileEntry]]:
    """The entries of transforms in a table of registered pairs, by pair.

    Raises:
        DataError: it is not a valid table.
    """
    transforms: dict[str, list[FileEntry]] = {}
    for entry in tables.read(table):
        if Path(entry.file).name == TRANSFORM:
            transforms.setdefault(entry.pair, []).append(entry)
    return transforms


def by_fold(pair: str, entries: Sequence[FileEntry], root: Path, fold: str) -> dict[str, Path]:
    """The transforms of a pair by fold, the main one first, after verifying their sha256.

    The main transform of pairs that the models of several folds registered is that of fold
    `ensemble`. Members of several models (`<model>/fold-<k>/`) are left out.

    Args:
        pair: the pair's id.
        entries: of its transforms.
        root: folder of the files.
        fold: fold whose model registered the pair, or `test`.

    Raises:
        DataError: a file is missing or not the one that was written, or there is none.
    """
    fix = "delete it, if it is still there, and run the same command again"
    faults = tables.faults(entries, root, fix, content=True)
    if faults:
        raise DataError(faults)
    main = [root / entry.file for entry in entries if entry.file == f"{pair}/{TRANSFORM}"]
    if not main:
        message = "is not in the table of registered pairs"
        missing = str(root / pair / TRANSFORM)
        raise DataError(Fault(missing, message, "delete the table and run again"))
    paths = {
        Path(entry.file).parent.relative_to(pair).parts: root / entry.file for entry in entries
    }
    members = {parts[0]: path for parts, path in paths.items() if len(parts) == 1}
    folds = {ENSEMBLE if members or fold == TEST else fold: main[0]}
    return folds | {name.removeprefix("fold-"): path for name, path in sorted(members.items())}
