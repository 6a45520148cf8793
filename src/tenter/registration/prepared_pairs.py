"""Registration of a cohort's prepared pairs: the table that names them, networks, and the files."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tenter import files, tables
from tenter.cases import case_files
from tenter.config import InferSettings
from tenter.errors import DataError
from tenter.formats import volumes
from tenter.formats.volumes import Volume
from tenter.records import Fault, FileEntry, ImagePair
from tenter.registration import answers, ensemble, exports
from tenter.training.models import LoadedModel

_log = logging.getLogger(__name__)


def prepared_files(table: Path) -> dict[str, tuple[FileEntry, ...]]:
    """The lines of a table of prepared images, by pair."""
    by_pair: dict[str, tuple[FileEntry, ...]] = {}
    for entry in tables.read(table):
        by_pair[entry.pair] = (*by_pair.get(entry.pair, ()), entry)
    return by_pair


def verified(entries: Sequence[FileEntry], root: Path, table: Path) -> Sequence[FileEntry]:
    """The lines of a table for one pair, after comparing the files with them.

    Args:
        entries: the lines; none if the table lacks the pair.
        root: folder that the table describes.
        table: the table, for the error message.

    Raises:
        DataError: a file is missing or differs, or the table lacks the pair.
    """
    if not entries:
        raise files.damaged(table, "does not name this pair", tables.PREPARE_AGAIN)
    faults = tables.faults(entries, root, tables.PREPARE_AGAIN, content=True)
    if faults:
        raise DataError(faults)
    return entries


def register_prepared(
    pair: ImagePair,
    case_folder: Path,
    members: Sequence[LoadedModel],
    settings: InferSettings,
    folder: Path,
) -> tuple[list[Path], dict[str, Any]]:
    """Register one prepared pair and write its transforms and the files that are asked for.

    Args:
        pair: the pair.
        case_folder: `cases/<pair>`.
        members: the models; the fields of several are averaged.
        settings: files to write, and test-time steps after the networks.
        folder: folder to write to; other files of an earlier registration are removed from it.

    Returns:
        The files written, and the content of their sidecar.

    Raises:
        CheckpointError: a model was trained on differently prepared cases.
        DataError: the case or the original moving image cannot be used.
        OutputError: a result could not be written.
    """
    start = time.perf_counter()
    images = case_files.read_images(case_folder)
    for member in members:
        ensemble.require_same_plan(member, images, pair.id, images.plan)
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
        image=lambda: _original(pair.moving, images.sources["moving"]),
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


def _original(path: Path, sha256: str) -> Volume:
    if volumes.sha256(path) != sha256:
        fix = "run the same command again"
        raise DataError(Fault(str(path), "changed since it was prepared", fix))
    return volumes.read_image(path)
