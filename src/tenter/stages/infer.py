"""Register prepared pairs with finished models: two images in, one transform out. No labels."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tenter import files, pairwork, tables
from tenter import manifest as rows
from tenter.cases import case_files as layout
from tenter.cases.case_files import PreparedImages
from tenter.config import InferSettings
from tenter.errors import DataError
from tenter.formats import volumes
from tenter.formats.volumes import Volume
from tenter.records import FileEntry, ImagePair
from tenter.registration import answers, ensemble, exports
from tenter.training.devices import select_device
from tenter.training.models import LoadedModel

SIDECAR = "infer.json"

_log = logging.getLogger(__name__)


def infer(  # noqa: PLR0913 - its arguments are the command's flags
    *,
    manifest: Path,
    pairs: tuple[str, ...],
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
        manifest: Table of pairs.
        pairs: Ids of the pairs to register.
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
    members = ensemble.load(models, torch_device)
    prepared = _by_pair(images)
    basis = {
        "code": code,
        "export": settings.export.model_dump(mode="json"),
        "test_time": settings.test_time.model_dump(mode="json") if settings.test_time else None,
        "models": [[member.fold, member.sha256] for member in members],
    }

    def register(pair: ImagePair) -> list[FileEntry]:
        entries = _sound(prepared.get(pair.id, ()), cases, images)
        fingerprint = files.digest(
            {**basis, "images": sorted((entry.file, entry.sha256) for entry in entries)}
        )
        sidecar = output / pair.id / SIDECAR
        if not pairwork.is_finished(sidecar, fingerprint):
            files.remove(sidecar)
            paths, fields = _register(pair, cases / pair.id, members, settings, sidecar.parent)
            pairwork.seal(sidecar, fingerprint, paths, fields)
        return pairwork.entries(pair.id, sidecar, output, fingerprint)

    registered = pairwork.each_pair(rows.image_pairs(manifest, pairs), register, "infer")
    tables.write(table, [entry for entries in registered for entry in entries])


def _by_pair(table: Path) -> dict[str, tuple[FileEntry, ...]]:
    by_pair: dict[str, tuple[FileEntry, ...]] = {}
    for entry in tables.read(table):
        by_pair[entry.pair] = (*by_pair.get(entry.pair, ()), entry)
    return by_pair


def _sound(entries: Sequence[FileEntry], root: Path, table: Path) -> Sequence[FileEntry]:
    faults = tables.faults(entries, root, content=True) if entries else [f"not in {table}"]
    if faults:
        raise DataError("; ".join([*faults, tables.PREPARE_AGAIN]))
    return entries


def _register(
    pair: ImagePair,
    case_folder: Path,
    members: Sequence[LoadedModel],
    settings: InferSettings,
    folder: Path,
) -> tuple[list[Path], dict[str, Any]]:
    """Register one pair; return the paths of the files written and the content of its sidecar."""
    start = time.perf_counter()
    images, sidecar = _prepared(case_folder)
    for member in members:
        ensemble.require_same_plan(member, images, pair.id, sidecar["plan"])
    answer = answers.answer(images, members, settings.test_time)
    transform = answer.transform(images)
    seconds = time.perf_counter() - start
    if answer.complaint is not None:
        _log.warning("%s: %s", pair.id, answer.complaint)
    named_members = zip(ensemble.names(members), answer.members, strict=True)
    paths = exports.write_transforms(folder, transform, list(named_members))
    source = exports.Source(
        transform=transform,
        moving=images.moving_source,
        fixed=images.fixed_source,
        names=(pair.patients[0], pair.patients[-1]),
        image=lambda: _original(pair.moving, sidecar["sources"]["moving"]),
    )
    export_paths, export_fields = exports.write_exports(folder, source, settings.export)
    paths += export_paths
    exports.remove_others(folder, paths)
    return paths, {
        "pair": pair.id,
        "models": [{"fold": member.fold, "sha256": member.sha256} for member in members],
        "largest_displacement_mm": ensemble.largest_mm(transform),
        **export_fields,
        **({} if answer.done is None else {"test_time": answer.done}),
        "seconds": {"network": round(seconds, 3), "all": round(time.perf_counter() - start, 3)},
        "device": answer.field.device.type,
    }


def _prepared(folder: Path) -> tuple[PreparedImages, dict[str, Any]]:
    """Read a prepared pair and its sidecar."""
    case = layout.read_images(folder)
    sidecar = layout.read_sidecar(folder)
    images = PreparedImages(
        affine=case.affine,
        alignment=case.alignment,
        moving=case.moving,
        fixed=case.fixed,
        moving_source=case.moving_source,
        fixed_source=case.fixed_source,
    )
    return images, sidecar


def _original(path: Path, sha256: str) -> Volume:
    if volumes.sha256(path) != sha256:
        message = f"{path}: changed since it was prepared; run the same command again"
        raise DataError(message)
    return volumes.read_image(path)
