"""Register prepared pairs with finished models: two images in, one transform out. No labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tenter.config import InferSettings
from tenter.records import ImagePair
from tenter.registration import chunk, ensemble, prepared_pairs
from tenter.registration.chunk import Chunk
from tenter.training.devices import select_device


def infer(  # noqa: PLR0913 - its arguments are the command's flags
    *,
    rows: Path,
    images: Path,
    cases: Path,
    models: tuple[Path, ...],
    settings: InferSettings,
    code: str,
    output: Path,
    table: Path,
    device: str = "auto",
) -> None:
    """Register pairs; results that are complete and up to date are kept.

    With several models the fields are averaged, and each member's transform is written too, as
    `<pair>/fold-<k>/transform.h5`, or `<pair>/<model>/fold-<k>/transform.h5` where folds repeat.

    Args:
        rows: Rows of the pairs to register, as a run writes them (JSON).
        images: Table of the pairs' prepared images.
        cases: Folder of the files in that table.
        models: Folders of finished folds; several form an ensemble.
        settings: Files to write for each pair, and test-time steps after the networks (JSON).
        code: Fingerprint of this stage's code.
        output: Folder of the model's transforms, with one folder per pair.
        table: Table of the files written; it is written last.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        CheckpointError: a model is damaged, or was trained on differently prepared cases.
        DataError: some pairs failed; all of them are named, and the others are finished.
        DeviceError: a GPU was requested but none is available.
        OutputError: a result could not be written.
    """
    torch_device = select_device(device)
    members = ensemble.load(models, torch_device, ensemble.trusted(settings.network))
    basis = {
        "code": code,
        "export": settings.export.model_dump(mode="json"),
        "test_time": settings.test_time.model_dump(mode="json") if settings.test_time else None,
        "models": [[member.fold, member.sha256] for member in members],
    }

    def method(pair: ImagePair, case: Path, folder: Path) -> tuple[list[Path], dict[str, Any]]:
        return prepared_pairs.register_prepared(pair, case, members, settings, folder)

    chunk_files = Chunk(rows=rows, images=images, cases=cases, output=output, table=table)
    chunk.register(chunk_files, "infer", basis, method)
