"""Work done pair by pair: finished pairs are kept, and one bad pair does not stop the others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from tenter import files, system_errors, tables
from tenter.errors import DataError, InputError
from tenter.records import Fault, FileEntry, ImagePair

P = TypeVar("P", bound=ImagePair)
R = TypeVar("R")


def each_pair(pairs: Sequence[P], work: Callable[[P], R], stage: str) -> tuple[R, ...]:
    """Do `work` for every pair, in order; after the last one, report those that failed.

    Files that `work` writes are guaranteed to be on the disk only when all pairs are done.

    Args:
        pairs: the pairs.
        work: raises DataError, InputError or OSError for a pair that cannot be used.
        stage: name of the stage, for the progress bar and the error message.

    Raises:
        DataError: pairs failed; its faults after the first name each pair and why.
    """
    results: list[R] = []
    failed: list[Fault] = []
    progress = tqdm(
        pairs, desc=stage, unit="pair", file=sys.stderr, disable=not sys.stderr.isatty()
    )
    with files.flushed_together():
        for pair in progress:
            try:
                results.append(work(pair))
            except (DataError, InputError) as error:
                failed += [replace(fault, pair=pair.id) for fault in error.faults]
            except OSError as error:
                failed.append(replace(system_errors.fault(error), pair=pair.id))
    if failed:
        count = len({fault.pair for fault in failed})
        message = f"{count} of {len(pairs)} pairs failed, the others are done"
        summary = Fault(stage, message, "correct what follows, then run the same command again")
        raise DataError([summary, *failed])
    return tuple(results)


def is_finished(sidecar: Path, fingerprint: str) -> bool:
    """Whether a sidecar was sealed with this fingerprint and its files are unchanged."""
    try:
        content = files.read_json(sidecar)
        if content["fingerprint"] != fingerprint:
            return False
        return all(
            _is_whole(sidecar.parent / name, entry) for name, entry in content["files"].items()
        )
    except (DataError, OSError, ValueError, TypeError, KeyError, AttributeError):
        return False


def seal(
    sidecar: Path, fingerprint: str, paths: Sequence[Path], description: dict[str, Any]
) -> None:
    """Write a pair's sidecar, after its files.

    Args:
        sidecar: a JSON file beside or above the files.
        fingerprint: of everything the files were made from.
        paths: the files.
        description: further entries of the sidecar.
    """
    sealed = {
        path.relative_to(sidecar.parent).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": files.sha256(path),
        }
        for path in paths
    }
    files.write_json(sidecar, {"fingerprint": fingerprint, **description, "files": sealed})


def sealed_files(sidecar: Path) -> tuple[Path, ...]:
    """The files that a sidecar names, and the sidecar."""
    return (*(sidecar.parent / name for name in files.read_json(sidecar)["files"]), sidecar)


def entries(pair: str, sidecar: Path, root: Path, fingerprint: str) -> list[FileEntry]:
    """Rows of a chunk's table for a pair just sealed or found finished; no file is read again.

    Args:
        pair: its id.
        sidecar: of the pair.
        root: folder that the table describes.
        fingerprint: with which the pair was sealed.
    """
    folder = sidecar.parent.relative_to(root)
    table_rows = [
        FileEntry(pair, (folder / name).as_posix(), entry["bytes"], entry["sha256"], fingerprint)
        for name, entry in files.read_json(sidecar)["files"].items()
    ]
    return [*table_rows, tables.entry(pair, sidecar, root, fingerprint)]


def _is_whole(path: Path, entry: dict[str, Any]) -> bool:
    same: bool = path.stat().st_size == entry["bytes"] and files.sha256(path) == entry["sha256"]
    return same
