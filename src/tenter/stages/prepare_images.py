"""Align the images of pairs, resample them to the case grid and normalise them. No labels."""

from __future__ import annotations

from pathlib import Path

from tenter import files, pairwork, tables
from tenter.cases import case_files as layout
from tenter.cases import plans, preparation
from tenter.cases.alignment import align
from tenter.config import ImageSettings
from tenter.errors import DataError
from tenter.formats import volumes
from tenter.formats.volumes import Volume
from tenter.manifest import rows as row_files
from tenter.records import Fault, FileEntry, ImagePair, Plan


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
        sources = _sources(pair, planned)
        fingerprint = files.digest({**basis, **_identity(pair), "sources": sources})
        if not pairwork.is_finished(sidecar, fingerprint):
            paths, fields = _prepare_pair(pair, planned, sidecar.parent)
            pairwork.seal(
                sidecar, fingerprint, paths, {**fields, "plan": digest, "sources": sources}
            )
        return pairwork.entries(pair.id, sidecar, cases, fingerprint)

    prepared = pairwork.each_pair(row_files.read_images(rows), prepare, "prepare_images")
    tables.write(table, [entry for entries in prepared for entry in entries])


def _identity(pair: ImagePair) -> dict[str, object]:
    return {"pair": pair.id, "patients": pair.patients, "set": pair.set, "stratum": pair.stratum}


def _sources(pair: ImagePair, plan: Plan) -> dict[str, str]:
    """Return the sha256 of every file that the case is made from."""
    hashes = {"moving": volumes.sha256(pair.moving), "fixed": volumes.sha256(pair.fixed)}
    transform = pair.initial_transform
    if plan.alignment == "file" and transform is not None:
        if not transform.is_file():
            fix = "correct initial_transform in the manifest"
            raise DataError(Fault(str(transform), "does not exist", fix))
        hashes["initial_transform"] = files.sha256(transform)
    return hashes


def _prepare_pair(
    pair: ImagePair, plan: Plan, folder: Path
) -> tuple[list[Path], dict[str, object]]:
    """Write a pair's images; return their paths and the content of the sidecar."""
    moving, fixed = (
        _image(pair.moving, plan.moving_channels),
        _image(pair.fixed, plan.fixed_channels),
    )
    alignment = align(plan.alignment, moving, fixed, pair.initial_transform)
    images = preparation.prepared(
        moving, fixed, plan, alignment, (str(pair.moving), str(pair.fixed))
    )
    fields: dict[str, object] = {
        **_identity(pair),
        "shape": plan.shape,
        "affine": images.affine.tolist(),
        "alignment": alignment.tolist(),
    }
    sides = ((images.moving, images.moving_source), (images.fixed, images.fixed_source))
    paths = [layout.images_file(folder, side) for side in layout.SIDES]
    for path, side, (case, source) in zip(paths, layout.SIDES, sides, strict=True):
        volumes.write_image(path, case, images.affine)
        fields[side] = {"shape": source.shape, "affine": source.affine.tolist()}
    return paths, fields


def _image(path: Path, channels: int) -> Volume:
    volume = volumes.read_image(path)
    if len(volume.array) != channels:
        message = f"has {len(volume.array)} channels, the plan {channels}"
        raise DataError(Fault(str(path), message, "delete the plan to renew it"))
    return volume
