"""Register prepared pairs with finished models: two images in, the whole map out. Sees no label."""

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
    """Register pairs; those that are whole and up to date are kept.

    With several models the fields are averaged, and each member's transform is written too, as
    `<pair>/fold-<k>/transform.h5`, or `<pair>/<model>/fold-<k>/transform.h5` where folds repeat.

    Args:
        manifest: table of pairs.
        pairs: ids of the pairs to register.
        images: table of the pairs' prepared images.
        cases: folder that this table describes.
        models: folders of finished folds; several make an ensemble.
        settings: files to write for each pair, and what is done beyond the networks' answer.
        code: fingerprint of this stage's code.
        output: folder of the model's transforms, one folder a pair.
        table: table of the files made, written last.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        CheckpointError: a model is damaged, or was trained on cases prepared otherwise.
        DataError: naming every pair that failed; the others are done.
        DeviceError: a GPU was asked for and there is none.
        OutputError: a result could not be written.
    """
    where = select_device(device)
    members = ensemble.load(models, where)
    prepared = _by_pair(images)
    basis = {
        "code": code,
        "export": settings.export.model_dump(mode="json"),
        "test_time": settings.test_time.model_dump(mode="json") if settings.test_time else None,
        "models": [[member.fold, member.sha256] for member in members],
    }

    def register(pair: ImagePair) -> list[FileEntry]:
        entries = _sound(prepared.get(pair.id, ()), cases, images)
        fingerprint = files.digest({**basis, "images": sorted((item.file, item.sha256) for item in entries)})
        sidecar = output / pair.id / SIDECAR
        if not pairwork.is_finished(sidecar, fingerprint):
            files.remove(sidecar)
            made, said = _register(pair, cases / pair.id, members, settings, sidecar.parent)
            pairwork.seal(sidecar, fingerprint, made, said)
        return pairwork.entries(pair.id, sidecar, output, fingerprint)

    registered = pairwork.each_pair(rows.image_pairs(manifest, pairs), register, "infer")
    tables.write(table, [entry for entries in registered for entry in entries])


def _by_pair(table: Path) -> dict[str, tuple[FileEntry, ...]]:
    found: dict[str, tuple[FileEntry, ...]] = {}
    for item in tables.read(table):
        found[item.pair] = (*found.get(item.pair, ()), item)
    return found


def _sound(entries: Sequence[FileEntry], root: Path, table: Path) -> Sequence[FileEntry]:
    wrong = tables.faults(entries, root, content=True) if entries else [f"not in {table}"]
    if wrong:
        raise DataError("; ".join([*wrong, tables.PREPARE_AGAIN]))
    return entries


def _register(
    pair: ImagePair,
    case_folder: Path,
    members: Sequence[LoadedModel],
    settings: InferSettings,
    folder: Path,
) -> tuple[list[Path], dict[str, Any]]:
    """The files written for a pair, and what its sidecar says of it."""
    start = time.perf_counter()
    images, said = _prepared(case_folder)
    for member in members:
        ensemble.require_same_plan(member, images, pair.id, said["plan"])
    answer = answers.answer(images, members, settings.test_time)
    transform = answer.transform(images)
    seconds = time.perf_counter() - start
    if answer.complaint is not None:
        _log.warning("%s: %s", pair.id, answer.complaint)
    named = zip(ensemble.names(members), answer.members, strict=True)
    made = exports.write_transforms(folder, transform, list(named))
    source = exports.Source(
        transform=transform,
        moving=images.moving_source,
        fixed=images.fixed_source,
        names=(pair.patients[0], pair.patients[-1]),
        image=lambda: _original(pair.moving, said["sources"]["moving"]),
    )
    further, told = exports.write_exports(folder, source, settings.export)
    made += further
    exports.remove_others(folder, made)
    return made, {
        "pair": pair.id,
        "models": [{"fold": member.fold, "sha256": member.sha256} for member in members],
        "largest_displacement_mm": ensemble.largest_mm(transform),
        **told,
        **({} if answer.done is None else {"test_time": answer.done}),
        "seconds": {"network": round(seconds, 3), "all": round(time.perf_counter() - start, 3)},
        "device": answer.field.device.type,
    }


def _prepared(folder: Path) -> tuple[PreparedImages, dict[str, Any]]:
    """A prepared pair, and what its sidecar says."""
    case = layout.read_images(folder)
    said = layout.read_sidecar(folder)
    images = PreparedImages(
        affine=case.affine,
        alignment=case.alignment,
        moving=case.moving,
        fixed=case.fixed,
        moving_source=case.moving_source,
        fixed_source=case.fixed_source,
    )
    return images, said


def _original(path: Path, sha256: str) -> Volume:
    if volumes.sha256(path) != sha256:
        message = f"{path}: changed since it was prepared; run the same command again"
        raise DataError(message)
    return volumes.read_image(path)
