"""Registration of one chunk's pairs: finished pairs are kept, and the table is written last."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenter import files, pairwork, tables
from tenter.manifest import rows as row_files
from tenter.records import FileEntry, ImagePair
from tenter.registration import pair_files
from tenter.result_files import SIDECAR

Method = Callable[[ImagePair, Path, Path], tuple[list[Path], dict[str, Any]]]
"""Registers a pair, given its prepared case's folder and the folder to write to; gives the files
written and the content of their sidecar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The files of a chunk.

    Attributes:
        rows: rows of the pairs to register (JSON).
        images: table of the pairs' prepared images.
        cases: folder of the files in that table.
        output: folder of the transforms, with one folder per pair.
        table: table of the files written.
    """

    rows: Path
    images: Path
    cases: Path
    output: Path
    table: Path


def _nothing(_: ImagePair) -> Mapping[str, object]:
    return {}


def register(
    chunk: Chunk,
    stage: str,
    basis: Mapping[str, object],
    method: Method,
    inputs: Callable[[ImagePair], Mapping[str, object]] = _nothing,
) -> None:
    """Register the pairs of a chunk; results that are complete and up to date are kept.

    Args:
        chunk: its files.
        stage: name of the stage, for the progress bar and error messages.
        basis: what the transforms of all pairs depend on, besides their images.
        method: registers one pair.
        inputs: what the transform of one pair depends on besides.

    Raises:
        DataError: some pairs failed; all of them are named, and the others are finished.
        OutputError: a result could not be written.
    """
    prepared = pair_files.prepared_files(chunk.images)

    def one(pair: ImagePair) -> list[FileEntry]:
        entries = pair_files.verified(prepared.get(pair.id, ()), chunk.cases, chunk.images)
        images = sorted((entry.file, entry.sha256) for entry in entries)
        fingerprint = files.digest({**basis, "images": images, **inputs(pair)})
        sidecar = chunk.output / pair.id / SIDECAR
        if not pairwork.is_finished(sidecar, fingerprint):
            files.remove(sidecar)
            paths, fields = method(pair, chunk.cases / pair.id, sidecar.parent)
            pairwork.seal(sidecar, fingerprint, paths, fields)
        return pairwork.entries(pair.id, sidecar, chunk.output, fingerprint)

    registered = pairwork.each_pair(row_files.read_images(chunk.rows), one, stage)
    tables.write(chunk.table, [entry for entries in registered for entry in entries])
