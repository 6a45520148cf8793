"""Register prepared pairs with finished models: two images in, the whole map out. Sees no label."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from tenter import files, tables
from tenter import manifest as rows
from tenter.config import InferSettings, RegistrationExport
from tenter.data import cases as layout
from tenter.data import pairwork, plans, transforms, volumes
from tenter.data.cases import CaseImages
from tenter.errors import CheckpointError, DataError
from tenter.records import AlignmentRule, FileEntry, ImagePair, Plan
from tenter.spatial import geometry, warp
from tenter.spatial.transform import Transform, moving_voxels
from tenter.training import models as finished
from tenter.training.devices import select_device
from tenter.training.models import LoadedModel

SIDECAR = "infer.json"
TRANSFORM = "transform.h5"
FIELD = "field.nii.gz"
WARPED_IMAGE = "warped_image.nii.gz"
SLAB_VOXELS = 2**19
"""Voxels of the fixed image worked on at a time: bounds memory, and small slabs are the faster ones."""


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

    With several models the fields are averaged, and each member's transform is written too,
    as `<pair>/fold-<k>/transform.h5`.

    Args:
        manifest: table of pairs.
        pairs: ids of the pairs to register.
        images: table of the pairs' prepared images.
        cases: folder that this table describes.
        models: folders of finished folds; several make an ensemble.
        settings: files to write for each pair.
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
    members = [finished.load(folder, where) for folder in models]
    _require_members(members, models)
    prepared = _by_pair(images)
    basis = {
        "code": code,
        "export": settings.export.model_dump(mode="json"),
        "models": [[member.fold, member.sha256] for member in members],
    }

    def register(pair: ImagePair) -> list[FileEntry]:
        entries = _sound(prepared.get(pair.id, ()), cases, images)
        fingerprint = files.digest({**basis, "images": sorted((item.file, item.sha256) for item in entries)})
        sidecar = output / pair.id / SIDECAR
        if not pairwork.is_finished(sidecar, fingerprint):
            sidecar.unlink(missing_ok=True)
            made, said = _register(pair, cases / pair.id, members, settings.export, sidecar.parent)
            pairwork.seal(sidecar, fingerprint, made, said)
        return [tables.entry(pair.id, path, output, fingerprint) for path in pairwork.sealed_files(sidecar)]

    registered = pairwork.each_pair(rows.image_pairs(manifest, pairs), register, "infer")
    tables.write(table, [entry for entries in registered for entry in entries])


def _require_members(members: Sequence[LoadedModel], folders: Sequence[Path]) -> None:
    folds = [member.fold for member in members]
    if not folds or len(set(folds)) != len(folds):
        named = ", ".join(str(folder) for folder in folders) or "none"
        message = f"models ({named}): an ensemble needs models of different folds, at least one"
        raise CheckpointError(message)


def _by_pair(table: Path) -> dict[str, tuple[FileEntry, ...]]:
    found: dict[str, tuple[FileEntry, ...]] = {}
    for item in tables.read(table):
        found[item.pair] = (*found.get(item.pair, ()), item)
    return found


def _sound(entries: Sequence[FileEntry], root: Path, table: Path) -> Sequence[FileEntry]:
    wrong = tables.faults(entries, root, content=True) if entries else [f"not in {table}"]
    if wrong:
        raise DataError("; ".join([*wrong, "run the workflow with --forcerun prepare_images"]))
    return entries


def _register(
    pair: ImagePair,
    case_folder: Path,
    members: Sequence[LoadedModel],
    export: RegistrationExport,
    folder: Path,
) -> tuple[list[Path], dict[str, Any]]:
    """The files written for a pair, and what its sidecar says of it."""
    start = time.perf_counter()
    case = layout.read_images(case_folder)
    said = files.read_json(case_folder / layout.IMAGES_SIDECAR)
    for member in members:
        _require_same_plan(member, case, said["plan"])
    fields = _fields(case, members)
    transform = Transform(case.alignment, torch.stack(fields).mean(dim=0), case.affine)
    seconds = time.perf_counter() - start
    made = _write_transforms(transform, fields, members, folder)
    made += _write_exports(pair, case, transform, export=export, folder=folder, sources=said["sources"])
    for path in (folder / FIELD, folder / WARPED_IMAGE, *folder.glob(f"fold-*/{TRANSFORM}")):
        if path not in made:
            path.unlink(missing_ok=True)
    return made, {
        "pair": pair.id,
        "models": [{"fold": member.fold, "sha256": member.sha256} for member in members],
        "largest_displacement_mm": _largest_mm(transform),
        "seconds": {"network": round(seconds, 3), "all": round(time.perf_counter() - start, 3)},
        "device": fields[0].device.type,
    }


def _require_same_plan(member: LoadedModel, case: CaseImages, digest: str) -> None:
    """The alignment rule may differ: it decides where images meet, not what a network sees."""
    known = member.description["plan"]
    facts = {
        "shape": list(case.fixed.shape[1:]),
        "spacing_mm": [round(size, 4) for size in geometry.spacing_mm(case.affine)],
        "moving_channels": len(case.moving),
        "fixed_channels": len(case.fixed),
    }
    trained = known | {"spacing_mm": [round(size, 4) for size in known["spacing_mm"]]}
    wrong = [
        f"{name} {value} (model: {trained[name]})" for name, value in facts.items() if value != trained[name]
    ]
    plan = Plan(**known | {name: tuple(known[name]) for name in ("shape", "spacing_mm")})
    rules: tuple[AlignmentRule, ...] = get_args(AlignmentRule)
    if not wrong and digest not in {plans.plan_digest(replace(plan, alignment=rule)) for rule in rules}:
        wrong = [f"another intensity rule than the model's, {plan.intensity}"]
    if wrong:
        mend = "prepare the cohort with the model's plan, or train a model on it"
        message = (
            f"{member.folder}: was not trained on such cases; {case.pair} has {', '.join(wrong)}; {mend}"
        )
        raise CheckpointError(message)


@torch.inference_mode()
def _fields(case: CaseImages, members: Sequence[LoadedModel]) -> list[Tensor]:
    """Each member's field `[1, 3, x, y, z]`, float32, on the member's device."""
    fields = []
    for member in members:
        device = next(member.network.parameters()).device
        moving, fixed = (_batch(image).to(device) for image in (case.moving, case.fixed))
        field: Tensor = member.network(moving, fixed).float()
        if not bool(field.isfinite().all()):
            message = (
                f"{member.folder}: gives a field that is not finite; look at the images, or train it again"
            )
            raise DataError(message)
        fields.append(field)
    return fields


def _batch(image: np.ndarray) -> Tensor:
    # A case is mapped read-only, in the file's order; torch wants its own copy.
    return torch.from_numpy(np.array(image, dtype=np.float32, order="C"))[None]


def _write_transforms(
    transform: Transform, fields: Sequence[Tensor], members: Sequence[LoadedModel], folder: Path
) -> list[Path]:
    written = {folder / TRANSFORM: transform}
    if len(members) > 1:
        for member, field in zip(members, fields, strict=True):
            written[folder / f"fold-{member.fold}" / TRANSFORM] = replace(transform, field=field)
    for path, item in written.items():
        transforms.write_transform(path, item)
    return list(written)


def _write_exports(
    pair: ImagePair,
    case: CaseImages,
    transform: Transform,
    *,
    export: RegistrationExport,
    folder: Path,
    sources: dict[str, str],
) -> list[Path]:
    """Files on the fixed image's own grid; the moving image is resampled once, from the original."""
    if not (export.field or export.warped_image):
        return []
    grid = case.fixed_source
    moving = _original(pair.moving, sources["moving"]) if export.warped_image else None
    field, warped = _on_fixed_grid(transform, case, moving)
    made = []
    if export.field:
        made.append(folder / FIELD)
        transforms.write_field(made[-1], field, grid.affine)
    if warped is not None:
        made.append(folder / WARPED_IMAGE)
        volumes.write_image(made[-1], warped.numpy(), grid.affine)
    return made


def _original(path: Path, sha256: str) -> Tensor:
    if volumes.sha256(path) != sha256:
        message = f"{path}: changed since it was prepared; run the workflow again"
        raise DataError(message)
    return torch.from_numpy(volumes.read_image(path).array)[None]


@torch.inference_mode()
def _on_fixed_grid(
    transform: Transform, case: CaseImages, moving: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Displacement `[3, x, y, z]` RAS mm and warped image `[c, x, y, z]`, slab by slab."""
    shape, affine = case.fixed_source.shape, case.fixed_source.affine
    field = torch.empty(3, *shape)
    warped = None if moving is None else torch.empty(moving.shape[1], *shape)
    image = None if moving is None else moving.to(transform.field.device)
    thickness = max(1, SLAB_VOXELS // (shape[1] * shape[2]))
    for first in range(0, shape[0], thickness):
        slab = slice(first, min(first + thickness, shape[0]))
        here = affine @ geometry.translation((float(first), 0.0, 0.0))
        moves = transform.displacement_mm(here, (slab.stop - slab.start, *shape[1:]))
        field[:, slab] = moves
        if image is not None and warped is not None:
            places = moving_voxels(moves, here, case.moving_source.affine)
            warped[:, slab] = warp.sample(image, places)[0]
    return field, warped


def _largest_mm(transform: Transform) -> float:
    spacing = torch.tensor(geometry.spacing_mm(transform.affine), device=transform.field.device)
    lengths = (transform.field * spacing.reshape(1, 3, 1, 1, 1)).norm(dim=1)
    return round(float(lengths.max()), 4)
