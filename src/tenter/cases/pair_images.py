"""The images of a pair as prepared files: aligned, resampled to the grid and normalised."""

from __future__ import annotations

from pathlib import Path

from tenter import files
from tenter.cases import case_files as layout
from tenter.cases import preparation
from tenter.cases.alignment import align
from tenter.errors import DataError
from tenter.formats import volumes
from tenter.formats.volumes import Volume
from tenter.records import Fault, ImagePair, Plan


def identity(pair: ImagePair) -> dict[str, object]:
    """What the sidecar of a prepared pair says of it."""
    return {"pair": pair.id, "patients": pair.patients, "set": pair.set, "stratum": pair.stratum}


def sources(pair: ImagePair, plan: Plan) -> dict[str, str]:
    """The sha256 of every file that a case is made from.

    Raises:
        DataError: the initial transform does not exist, or an image cannot be read.
    """
    hashes = {"moving": volumes.sha256(pair.moving), "fixed": volumes.sha256(pair.fixed)}
    transform = pair.initial_transform
    if plan.alignment == "file" and transform is not None:
        if not transform.is_file():
            fix = "correct initial_transform in the manifest"
            raise DataError(Fault(str(transform), "does not exist", fix))
        hashes["initial_transform"] = files.sha256(transform)
    return hashes


def write(pair: ImagePair, plan: Plan, folder: Path) -> tuple[list[Path], dict[str, object]]:
    """Align a pair's images, resample them to the plan's grid, and write them.

    Args:
        pair: the pair.
        plan: of the cohort.
        folder: `cases/<pair>`.

    Returns:
        Their paths, and the content of the sidecar.

    Raises:
        DataError: an image or the initial transform cannot be used.
        OutputError: a file could not be written.
    """
    moving, fixed = (
        _image(pair.moving, plan.moving_channels),
        _image(pair.fixed, plan.fixed_channels),
    )
    alignment = align(plan.alignment, moving, fixed, pair.initial_transform)
    images = preparation.prepared(
        moving, fixed, plan, alignment, (str(pair.moving), str(pair.fixed))
    )
    fields: dict[str, object] = {
        **identity(pair),
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
