"""Work that is done pair by pair: what is whole is kept, and one bad pair does not stop the others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from tenter import files, system_errors, tables
from tenter.errors import DataError, InputError
from tenter.records import FileEntry, ImagePair

P = TypeVar("P", bound=ImagePair)
R = TypeVar("R")


def each_pair(pairs: Sequence[P], work: Callable[[P], R], stage: str) -> tuple[R, ...]:
    """Do `work` for every pair, in order; complain of those that failed after the last one.

    Files that it writes are surely on the disk when all are done, and not before.

    Args:
        pairs: what to work on.
        work: raises DataError, InputError or OSError for a pair that cannot be used.
        stage: its name, for the progress bar and the complaint.

    Raises:
        DataError: naming every pair that failed, and why.
    """
    results, failed = [], []
    shown = tqdm(pairs, desc=stage, unit="pair", file=sys.stderr, disable=not sys.stderr.isatty())
    with files.flushed_together():
        for pair in shown:
            try:
                results.append(work(pair))
            except (DataError, InputError) as error:
                failed.append(f"{pair.id}: {error}")
            except OSError as error:
                failed.append(f"{pair.id}: {system_errors.line(error)}")
    if failed:
        head = f"{stage}: {len(failed)} of {len(pairs)} pairs failed, the others are done:"
        message = "\n".join([head, *failed])
        raise DataError(message)
    return tuple(results)


def is_finished(sidecar: Path, fingerprint: str) -> bool:
    """Whether a sidecar was sealed with this fingerprint and its files are unchanged."""
    try:
        said = files.read_json(sidecar)
        if said["fingerprint"] != fingerprint:
            return False
        return all(_is_whole(sidecar.parent / name, kept) for name, kept in said["files"].items())
    except (DataError, OSError, ValueError, TypeError, KeyError, AttributeError):
        return False


def seal(sidecar: Path, fingerprint: str, made: Sequence[Path], said: dict[str, Any]) -> None:
    """Write a pair's sidecar, after its files.

    Args:
        sidecar: a JSON file beside or above the files.
        fingerprint: of everything the files were made from.
        made: the files.
        said: what else it says of the pair.
    """
    kept = {
        path.relative_to(sidecar.parent).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": files.sha256(path),
        }
        for path in made
    }
    files.write_json(sidecar, {"fingerprint": fingerprint, **said, "files": kept})


def sealed_files(sidecar: Path) -> tuple[Path, ...]:
    """The files that a sidecar names, and itself."""
    return (*(sidecar.parent / name for name in files.read_json(sidecar)["files"]), sidecar)


def entries(pair: str, sidecar: Path, root: Path, fingerprint: str) -> list[FileEntry]:
    """What a chunk's table says of a pair just sealed, or found finished: no file is read again.

    Args:
        pair: its id.
        sidecar: of the pair.
        root: folder that the table describes.
        fingerprint: that it was sealed with.
    """
    folder = sidecar.parent.relative_to(root)
    found = [
        FileEntry(pair, (folder / name).as_posix(), kept["bytes"], kept["sha256"], fingerprint)
        for name, kept in files.read_json(sidecar)["files"].items()
    ]
    return [*found, tables.entry(pair, sidecar, root, fingerprint)]


def _is_whole(path: Path, kept: dict[str, Any]) -> bool:
    same: bool = path.stat().st_size == kept["bytes"] and files.sha256(path) == kept["sha256"]
    return same
