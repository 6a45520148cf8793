"""Resample the labels of pairs to the case grid: soft masks, one channel per common label."""

from __future__ import annotations

from pathlib import Path

from tenter import files, pairwork, tables
from tenter.cases import case_files, label_preparation
from tenter.config import LabelSettings
from tenter.manifest import rows as row_files
from tenter.records import FileEntry, Pair


def prepare_labels(
    *,
    rows: Path,
    images: Path,
    settings: LabelSettings,
    code: str,
    cases: Path,
    table: Path,
) -> None:
    """Prepare the labels of some pairs; results that are complete and up to date are kept.

    A label that is missing or empty on one side is left out of the pair; the sidecar lists it
    with the reason. A pair without label files gets only a sidecar.

    Args:
        rows: Rows of the pairs to prepare, as a run writes them (JSON).
        images: Table of these pairs' prepared images.
        settings: How label files are read (JSON).
        code: Fingerprint of this stage's code.
        cases: Folder of prepared cases, with one folder per pair.
        table: Table of the files written; it is written last.

    Raises:
        DataError: some pairs failed; all of them are named, and the others are finished.
    """
    tables.verified([images], cases)
    basis = {"code": code, "settings": settings.model_dump(mode="json")}

    def prepare(pair: Pair) -> list[FileEntry]:
        folder = cases / pair.id
        case = case_files.read_images(folder)
        sidecar = folder / case_files.LABELS_SIDECAR
        fingerprint = files.digest(
            {**basis, "pair": pair.id, **label_preparation.origin(pair, case)}
        )
        if not pairwork.is_finished(sidecar, fingerprint):
            label_preparation.write_labels(pair, case, settings.labels, (sidecar, fingerprint))
        return pairwork.entries(pair.id, sidecar, cases, fingerprint)

    prepared = pairwork.each_pair(row_files.read(rows), prepare, "prepare_labels")
    tables.write(table, [entry for entries in prepared for entry in entries])
