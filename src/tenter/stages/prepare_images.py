"""Align the images of pairs, resample them to the case grid and normalise them. No labels."""

from __future__ import annotations

from pathlib import Path

from tenter import files, pairwork, tables
from tenter.cases import case_files as layout
from tenter.cases import pair_images, plans
from tenter.config import ImageSettings
from tenter.manifest import rows as row_files
from tenter.records import FileEntry, ImagePair


def prepare_images(
    *,
    rows: Path,
    plan: Path,
    settings: ImageSettings,
    code: str,
    cases: Path,
    table: Path,
) -> None:
    """Prepare the images of some pairs; results that are complete and up to date are kept.

    Args:
        rows: Rows of the pairs to prepare, as a run writes them (JSON).
        plan: Plan of the cohort.
        settings: Settings that the plan depends on (JSON).
        code: Fingerprint of this stage's code.
        cases: Folder of prepared cases, with one folder per pair.
        table: Table of the files written; it is written last.

    Raises:
        DataError: some pairs failed; all of them are named, and the others are finished.
    """
    planned = plans.read_plan(plan)
    digest = plans.plan_digest(planned)
    basis = {"code": code, "settings": settings.model_dump(mode="json"), "plan": digest}

    def prepare(pair: ImagePair) -> list[FileEntry]:
        sidecar = cases / pair.id / layout.IMAGES_SIDECAR
        sources = pair_images.sources(pair, planned)
        fingerprint = files.digest({**basis, **pair_images.identity(pair), "sources": sources})
        if not pairwork.is_finished(sidecar, fingerprint):
            paths, fields = pair_images.write(pair, planned, sidecar.parent)
            pairwork.seal(
                sidecar, fingerprint, paths, {**fields, "plan": digest, "sources": sources}
            )
        return pairwork.entries(pair.id, sidecar, cases, fingerprint)

    prepared = pairwork.each_pair(row_files.read_images(rows), prepare, "prepare_images")
    tables.write(table, [entry for entries in prepared for entry in entries])
