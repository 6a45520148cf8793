"""A chunk's table: which files a job made for which pair, so that consumers can verify them.

Pair files are no declared outputs of the workflow; the table is, and is written last.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path

from tenter import files
from tenter.errors import DataError
from tenter.records import FileEntry

PREPARE_AGAIN = (
    "delete what is damaged, run `snakemake cases` with your --profile and --configfile, "
    "then the same command again"
)
"""What to do about prepared cases that are missing or damaged: a finished study does not ask for them."""

COLUMNS = tuple(field.name for field in fields(FileEntry))


def entry(pair: str, path: Path, root: Path, fingerprint: str) -> FileEntry:
    """Describe a finished file below `root`."""
    return FileEntry(
        pair, path.relative_to(root).as_posix(), path.stat().st_size, files.sha256(path), fingerprint
    )


def write(path: Path, entries: Iterable[FileEntry]) -> None:
    """Write a chunk's table, whole or not at all."""
    with files.written_whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(astuple(item) for item in entries)


def read(path: Path) -> tuple[FileEntry, ...]:
    """Read a chunk's table.

    Raises:
        DataError: it is not such a table.
    """
    return tuple(_entry(path, number, cells) for number, cells in files.read_table(path, COLUMNS))


def _entry(path: Path, number: int, cells: Mapping[str, str]) -> FileEntry:
    size = cells["bytes"]
    if not (size.isascii() and size.isdigit()):
        raise files.damaged(path, f"is {size!r}, not a whole number", row=number, column="bytes")
    pair, file, sha256, fingerprint = (cells[name] for name in ("pair", "file", "sha256", "fingerprint"))
    return FileEntry(pair, file, int(size), sha256, fingerprint)


def faults(entries: Iterable[FileEntry], root: Path, *, content: bool = False) -> list[str]:
    """Say what is missing or changed below `root`; sizes, or with `content` every byte."""
    found = []
    for item in entries:
        path = root / item.file
        if not path.is_file():
            found.append(f"{item.pair}: {path} is missing")
        elif path.stat().st_size != item.bytes:
            found.append(f"{item.pair}: {path} has {path.stat().st_size} bytes, not {item.bytes}")
        elif content and files.sha256(path) != item.sha256:
            found.append(f"{item.pair}: {path} is not the file that was written (sha256 differs)")
    return found


def is_whole(path: Path, root: Path) -> bool:
    """Whether every file that a table names is there in its size: quick, for tables of many thousands."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = csv.reader(stream, delimiter="\t")
        next(rows, None)
        try:
            return all(os.stat(f"{root}/{row[1]}").st_size == int(row[2]) for row in rows)  # noqa: PTH116 - quick
        except (OSError, ValueError, IndexError):
            return False


def verified(tables: Sequence[Path], root: Path, *, content: bool = True) -> dict[str, tuple[FileEntry, ...]]:
    """Read tables of prepared cases and verify every file they name; the entries of each pair.

    Raises:
        DataError: a table is damaged or empty, or pairs' files are missing or changed; naming each.
    """
    by_table = {table: read(table) for table in tables}
    empty = next((table for table, entries in by_table.items() if not entries), None)
    if empty is not None:
        raise files.damaged(empty, "holds no row")
    found = {table: faults(entries, root, content=content) for table, entries in by_table.items()}
    wrong = [line for lines in found.values() for line in lines]
    if wrong:
        message = "\n".join([*wrong, PREPARE_AGAIN])
        raise DataError(message)
    by_pair: dict[str, list[FileEntry]] = {}
    for item in (item for entries in by_table.values() for item in entries):
        by_pair.setdefault(item.pair, []).append(item)
    return {pair: tuple(items) for pair, items in by_pair.items()}
