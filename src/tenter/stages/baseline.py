"""Register prepared pairs by a method without a network: two images in, one transform out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tenter import baselines, files
from tenter.baselines import Register
from tenter.cases import case_files
from tenter.config import BaselineSettings, custom
from tenter.manifest import files_behind
from tenter.records import ImagePair
from tenter.registration import chunk, pair_files
from tenter.registration.chunk import Chunk


def baseline(
    *,
    rows: Path,
    images: Path,
    cases: Path,
    sources: tuple[Path, ...] = (),
    settings: BaselineSettings,
    code: str,
    output: Path,
    table: Path,
) -> None:
    """Register pairs by a baseline; results that are complete and up to date are kept.

    Args:
        rows: Rows of the pairs to register, as a run writes them (JSON).
        images: Table of the pairs' prepared images.
        cases: Folder of the files in that table.
        sources: Files of the user that the method reads for these pairs.
        settings: The method with its settings, and files to write for each pair (JSON).
        code: Fingerprint of this stage's code.
        output: Folder of the baseline's transforms, with one folder per pair.
        table: Table of the files written; it is written last.

    Raises:
        DataError: some pairs failed; all of them are named, and the others are finished.
        InputError: a method of one's own cannot be imported.
        OutputError: a result could not be written.
    """
    basis = {"code": code, "settings": settings.model_dump(mode="json")}
    contents = {path: files.sha256(path) for path in sources}
    function = baselines.load(settings.baseline)

    def inputs(pair: ImagePair) -> dict[str, object]:
        named = [part for path in settings.baseline.files(pair.id) for part in files_behind(path)]
        return {"files": [contents.get(path) for path in named]}

    def method(pair: ImagePair, case: Path, folder: Path) -> tuple[list[Path], dict[str, Any]]:
        return _register(function, pair, case, settings, folder)

    chunk_files = Chunk(rows=rows, images=images, cases=cases, output=output, table=table)
    chunk.register(chunk_files, "baseline", basis, method, inputs)


def _register(
    function: Register, pair: ImagePair, case_folder: Path, settings: BaselineSettings, folder: Path
) -> tuple[list[Path], dict[str, Any]]:
    """Register one pair; return the files written and the content of its sidecar."""
    start = time.perf_counter()
    images = case_files.read_images(case_folder)
    transform = function(pair, images, settings.baseline)
    seconds = time.perf_counter() - start
    paths, figures = pair_files.write(folder, transform, (pair, images), settings.export)
    return paths, {
        "pair": pair.id,
        "method": custom.portable(settings.baseline).method,
        **figures,
        "seconds": {"method": round(seconds, 3), "all": round(time.perf_counter() - start, 3)},
        "device": transform.field.device.type,
    }
