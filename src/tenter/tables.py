"""A chunk's table: the files that a job wrote for each pair, so that readers can verify them.

The files of pairs are not declared as outputs of the workflow; the table is, and is written last.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from tenter import files, typed_tables
from tenter.errors import DataError
from tenter.records import Fault, FileEntry

PREPARE_AGAIN = (
    "delete what is damaged, run `snakemake cases` with your --profile and --configfile, "
    "then the same command again"
)
"""Fix for missing or damaged prepared cases, which a finished study does not request."""


def entry(pair: str, path: Path, root: Path, fingerprint: str) -> FileEntry:
    """The entry of a finished file below `root`."""
    return FileEntry(
        pair,
        path.relative_to(root).as_posix(),
        path.stat().st_size,
        files.sha256(path),
        fingerprint,
    )


def write(path: Path, entries: Iterable[FileEntry]) -> None:
    """Write a chunk's table atomically."""
    typed_tables.write(path, FileEntry, entries)


def read(path: Path) -> tuple[FileEntry, ...]:
    """Read a chunk's table.

    Raises:
        DataError: it is not a valid table.
    """
    return typed_tables.read(path, FileEntry)


def faults(
    entries: Iterable[FileEntry], root: Path, fix: str, *, content: bool = False
) -> list[Fault]:
    """List missing or changed files below `root`; compares sizes, or with `content` every byte.

    Args:
        entries: what is recorded of the files.
        root: folder that the entries' paths begin at.
        fix: what to do about each fault.
        content: compare the content as well.
    """
    missing = []
    for record in entries:
        path = root / record.file
        message = ""
        if not path.is_file():
            message = "is missing"
        elif path.stat().st_size != record.bytes:
            message = f"has {path.stat().st_size} bytes, not {record.bytes}"
        elif content and files.sha256(path) != record.sha256:
            message = "is not the file that was written (sha256 differs)"
        if message:
            missing.append(Fault(str(path), message, fix, pair=record.pair))
    return missing


def is_whole(path: Path, root: Path) -> bool:
    """Whether every file in a table exists with its size; fast enough for many thousands."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = csv.reader(stream, delimiter="\t")
        next(rows, None)
        try:
            return all(
                os.stat(f"{root}/{row[1]}").st_size == int(row[2])  # noqa: PTH116 - faster
                for row in rows
            )
        except (OSError, ValueError, IndexError):
            return False


def verified(
    tables: Sequence[Path], root: Path, *, content: bool = True
) -> dict[str, tuple[FileEntry, ...]]:
    """Read tables of prepared cases and verify all files in them; return the entries by pair.

    Raises:
        DataError: a table is damaged or empty, or files are missing or changed; names each one.
    """
    by_table = {table: read(table) for table in tables}
    empty = next((table for table, entries in by_table.items() if not entries), None)
    if empty is not None:
        raise files.damaged(empty, "holds no row")
    damage = [
        fault
        for entries in by_table.values()
        for fault in faults(entries, root, PREPARE_AGAIN, content=content)
    ]
    if damage:
        raise DataError(damage)
    by_pair: dict[str, list[FileEntry]] = {}
    for record in (record for entries in by_table.values() for record in entries):
        by_pair.setdefault(record.pair, []).append(record)
    return {pair: tuple(records) for pair, records in by_pair.items()}
