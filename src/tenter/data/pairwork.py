"""Work that is done pair by pair: what is whole is kept, and one bad pair does not stop the others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from tenter import files
from tenter.errors import DataError, InputError
from tenter.records import ImagePair

P = TypeVar("P", bound=ImagePair)
R = TypeVar("R")


def each_pair(pairs: Sequence[P], work: Callable[[P], R], stage: str) -> tuple[R, ...]:
    """Do `work` for every pair, in order; complain of those that failed after the last one.

    Args:
        pairs: what to work on.
        work: raises DataError or InputError for a pair that cannot be used.
        stage: its name, for the progress bar and the complaint.

    Raises:
        DataError: naming every pair that failed, and why.
    """
    results, failed = [], []
    for pair in tqdm(pairs, desc=stage, unit="pair", file=sys.stderr, disable=not sys.stderr.isatty()):
        try:
            results.append(work(pair))
        except (DataError, InputError) as error:
            failed.append(f"{pair.id}: {error}")
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
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
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


def _is_whole(path: Path, kept: dict[str, Any]) -> bool:
    same: bool = path.stat().st_size == kept["bytes"] and files.sha256(path) == kept["sha256"]
    return same
