"""What every registration of a prepared pair shares: its verified inputs, and its files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tenter import files, tables
from tenter.cases.case_files import CaseImages
from tenter.config import RegistrationExport
from tenter.errors import DataError
from tenter.formats import volumes
from tenter.formats.volumes import Volume
from tenter.records import Fault, FileEntry, ImagePair
from tenter.registration import exports
from tenter.spatial import geometry
from tenter.spatial.transform import Transform


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


def write(
    folder: Path,
    transform: Transform,
    of: tuple[ImagePair, CaseImages],
    export: RegistrationExport,
    members: Sequence[tuple[str, Tensor]] = (),
) -> tuple[list[Path], dict[str, Any]]:
    """Write the transforms of a pair and the files that are asked for.

    Args:
        folder: folder to write to; other files of an earlier registration are removed from it.
        transform: the whole map.
        of: the pair, and its prepared images.
        export: files to write besides the transform.
        members: name and field of each member of an ensemble.

    Returns:
        The files written, and figures about them for their sidecar.

    Raises:
        DataError: the original moving image cannot be used.
        OutputError: a result could not be written.
    """
    pair, images = of
    paths = exports.write_transforms(folder, transform, members)
    source = exports.Source(
        transform=transform,
        moving=images.moving_source,
        fixed=images.fixed_source,
        names=(pair.patients[0], pair.patients[-1]),
        image=lambda: _original(pair.moving, images.sources["moving"]),
    )
    export_paths, export_fields = exports.write_exports(folder, source, export)
    paths += export_paths
    exports.remove_others(folder, paths)
    return paths, {"largest_displacement_mm": largest_mm(transform), **export_fields}


def largest_mm(transform: Transform) -> float:
    """Longest displacement of the field, mm, without the alignment."""
    spacing = torch.tensor(geometry.spacing_mm(transform.affine), device=transform.field.device)
    lengths = (transform.field * spacing.reshape(1, 3, 1, 1, 1)).norm(dim=1)
    return round(float(lengths.max()), 4)


def _original(path: Path, sha256: str) -> Volume:
    if volumes.sha256(path) != sha256:
        fix = "run the same command again"
        raise DataError(Fault(str(path), "changed since it was prepared", fix))
    return volumes.read_image(path)
