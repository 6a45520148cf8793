"""Bring the images of pairs onto the case grid: aligned, resampled, normalised. Sees no label."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tenter import files, tables
from tenter import manifest as rows
from tenter.config import ImageSettings
from tenter.data import cases as layout
from tenter.data import intensity, pairwork, plans, resampling, transforms, volumes
from tenter.data.volumes import Volume
from tenter.errors import DataError
from tenter.records import FileEntry, ImagePair, Plan
from tenter.shapes import Matrix
from tenter.spatial import geometry


def prepare_images(
    *,
    manifest: Path,
    pairs: tuple[str, ...],
    plan: Path,
    settings: ImageSettings,
    code: str,
    cases: Path,
    table: Path,
) -> None:
    """Prepare the images of some pairs; those that are whole and up to date are kept.

    Args:
        manifest: table of pairs.
        pairs: ids of the pairs to prepare.
        plan: the cohort's plan.
        settings: what shaped the plan.
        code: fingerprint of this stage's code.
        cases: folder of cases, one folder a pair.
        table: table of the files made, written last.

    Raises:
        DataError: naming every pair that failed; the others are done.
    """
    planned = plans.read_plan(plan)
    basis = {"code": code, "settings": settings.model_dump(mode="json"), "plan": plans.plan_digest(planned)}

    def prepare(pair: ImagePair) -> list[FileEntry]:
        sidecar = cases / pair.id / layout.IMAGES_SIDECAR
        sources = _sources(pair, planned)
        fingerprint = files.digest({**basis, **_identity(pair), "sources": sources})
        if not pairwork.is_finished(sidecar, fingerprint):
            _prepare_pair(pair, planned, sidecar, {"fingerprint": fingerprint, "sources": sources})
        return [tables.entry(pair.id, path, cases, fingerprint) for path in pairwork.sealed_files(sidecar)]

    made = pairwork.each_pair(rows.image_pairs(manifest, pairs), prepare, "prepare_images")
    tables.write(table, [entry for entries in made for entry in entries])


def alignment(pair: ImagePair, rule: str, moving: Volume, fixed: Volume) -> Matrix:
    """Where a fixed point lies in the moving image before any network, RAS mm to RAS mm.

    Args:
        pair: names the transform file, for the rule `file`.
        rule: `header` (the same place), `centre` (volume centre on volume centre) or `file`.
        moving: the moving image.
        fixed: the fixed image.

    Raises:
        DataError: the pair has no transform, or it cannot be read.
    """
    if rule == "header":
        return np.eye(4)
    if rule == "centre":
        centres = [
            np.array(geometry.centre_mm(item.affine, item.array.shape[1:])) for item in (moving, fixed)
        ]
        return geometry.translation(centres[0] - centres[1])
    return transforms.read_alignment(_transform(pair))


def _identity(pair: ImagePair) -> dict[str, object]:
    return {"pair": pair.id, "patients": pair.patients, "set": pair.set, "stratum": pair.stratum}


def _transform(pair: ImagePair) -> Path:
    if pair.initial_transform is None:
        message = (
            "plan.alignment is `file` but the pair has none; fill the manifest's column initial_transform"
        )
        raise DataError(message)
    return pair.initial_transform


def _sources(pair: ImagePair, plan: Plan) -> dict[str, str]:
    """Sha256 of every file that the case is made from."""
    hashes = {"moving": volumes.sha256(pair.moving), "fixed": volumes.sha256(pair.fixed)}
    if plan.alignment == "file":
        transform = _transform(pair)
        if not transform.is_file():
            message = f"{transform}: does not exist; correct initial_transform in the manifest"
            raise DataError(message)
        hashes["initial_transform"] = files.sha256(transform)
    return hashes


def _prepare_pair(pair: ImagePair, plan: Plan, sidecar: Path, made_from: dict[str, object]) -> None:
    moving, fixed = _image(pair.moving, plan.moving_channels), _image(pair.fixed, plan.fixed_channels)
    grid = geometry.canonical_grid(fixed.affine, fixed.array.shape[1:], plan.shape, plan.spacing_mm)
    placed = alignment(pair, plan.alignment, moving, fixed)
    places = {"moving": placed @ grid, "fixed": grid}
    said: dict[str, object] = {
        **_identity(pair),
        "shape": plan.shape,
        "affine": grid.tolist(),
        "alignment": placed.tolist(),
        "plan": plans.plan_digest(plan),
        "sources": made_from["sources"],
    }
    paths = {"moving": pair.moving, "fixed": pair.fixed}
    for side, volume in (("moving", moving), ("fixed", fixed)):
        values = intensity.normalised(volume.array, plan.intensity, str(paths[side]))
        to_volume = np.linalg.inv(volume.affine) @ places[side]
        case = resampling.on_grid(values, to_volume, plan.shape, padding="border")
        volumes.write_image(layout.images_file(sidecar.parent, side), case, grid)
        said[side] = {"shape": volume.array.shape[1:], "affine": volume.affine.tolist()}
    made = [layout.images_file(sidecar.parent, side) for side in layout.SIDES]
    pairwork.seal(sidecar, str(made_from["fingerprint"]), made, said)


def _image(path: Path, channels: int) -> Volume:
    volume = volumes.read_image(path)
    if len(volume.array) != channels:
        message = (
            f"{path}: has {len(volume.array)} channels, the plan {channels}; delete the plan to renew it"
        )
        raise DataError(message)
    return volume
