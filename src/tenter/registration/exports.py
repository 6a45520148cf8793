"""The files of a registered pair: the transform, and the further exports that a study requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from tenter import files
from tenter.cases.case_files import Grid
from tenter.config import RegistrationExport
from tenter.formats import fields as field_files
from tenter.formats import transforms, volumes
from tenter.formats.volumes import Volume
from tenter.result_files import TRANSFORM
from tenter.spatial import pull
from tenter.spatial.transform import Transform

FIELD = "field.nii.gz"
WARPED_IMAGE = "warped_image.nii.gz"
INVERSE = "inverse.h5"
INVERSE_FIELD = "inverse_field.nii.gz"
FIELD_RAS = "field_ras.nii.gz"
FIELD_FSL = "field_fsl.nii.gz"

_PATTERNS = (
    TRANSFORM, FIELD, WARPED_IMAGE, INVERSE, INVERSE_FIELD, FIELD_RAS, FIELD_FSL,
    "disp_*_*.nii.gz", f"fold-*/{TRANSFORM}", f"*/fold-*/{TRANSFORM}",
)  # fmt: skip
"""Patterns of all file names that a registered pair may have."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Source:
    """The inputs for the files of a pair.

    Attributes:
        transform: fixed point to moving point.
        moving: grid of the original moving image.
        fixed: grid of the original fixed image.
        names: of the moving and the fixed image (or patient), used in file names.
        image: reads the original moving image; called only if it is warped.
    """

    transform: Transform
    moving: Grid
    fixed: Grid
    names: tuple[str, str]
    image: Callable[[], Volume]


def write_transforms(
    folder: Path, transform: Transform, members: Sequence[tuple[str, Tensor]]
) -> list[Path]:
    """Write a pair's transform; for an ensemble also each member's, as `<name>/transform.h5`.

    Args:
        folder: of the pair.
        transform: the pair's.
        members: name and field of each model.

    Returns:
        The files.

    Raises:
        OutputError: one could not be written whole.
    """
    written = {folder / TRANSFORM: transform}
    if len(members) > 1:
        for name, field in members:
            written[folder / name / TRANSFORM] = replace(transform, field=field)
    for path, content in written.items():
        transforms.write_transform(path, content)
    return list(written)


def write_exports(
    folder: Path, source: Source, export: RegistrationExport
) -> tuple[list[Path], dict[str, float]]:
    """Write the requested files beside the transform.

    All of them lie on the fixed image's own grid, except the inverse, which lies on the moving
    image's. The moving image is resampled once, from the original.

    Args:
        folder: of the pair.
        source: inputs of the files.
        export: which files to write.

    Returns:
        The files, and figures about them (`inverse_residual_mm`).

    Raises:
        DataError: the moving image cannot be read.
        OutputError: a file could not be written whole.
    """
    paths, figures = [], {}
    if export.field or export.warped_image or export.ras or export.fsl or export.learn2reg:
        moves = pull.displacement(source.transform, source.fixed.affine, source.fixed.shape)
        paths += _write_fields(folder, source, moves, export)
    if export.inverse:
        inverse_paths, residual_mm = _write_inverse(folder, source)
        paths += inverse_paths
        figures["inverse_residual_mm"] = residual_mm
    return paths, figures


def remove_others(folder: Path, paths: Sequence[Path]) -> None:
    """Remove files of an earlier registration that this one did not write."""
    for pattern in _PATTERNS:
        for path in folder.glob(pattern):
            if path not in paths:
                files.remove(path)


def learn2reg_name(moving: str, fixed: str) -> str:
    """File name that Learn2Reg's evaluation expects; numeric ids are padded to four digits."""
    return f"disp_{_padded(fixed)}_{_padded(moving)}.nii.gz"


def _padded(name: str) -> str:
    return name.zfill(4) if name.isdigit() else name


def _write_fields(
    folder: Path, source: Source, moves: Float[Tensor, "3 x y z"], export: RegistrationExport
) -> list[Path]:
    """Write the displacement in each requested convention, and the warped image."""
    fixed, moving = source.fixed, source.moving
    paths = []
    if export.field:
        paths.append(folder / FIELD)
        field_files.write_field(paths[-1], moves, fixed.affine)
    if export.warped_image:
        paths.append(folder / WARPED_IMAGE)
        image = torch.from_numpy(source.image().array)[None].to(source.transform.field.device)
        warped = pull.pull_by(image, moves, fixed.affine, moving.affine)
        volumes.write_image(paths[-1], warped.numpy(), fixed.affine)
    if export.ras:
        paths.append(folder / FIELD_RAS)
        field_files.write_field_ras(paths[-1], moves, fixed.affine)
    if export.fsl:
        paths.append(folder / FIELD_FSL)
        field_files.write_field_fsl(paths[-1], moves, fixed.affine, moving.affine, moving.shape)
    if export.learn2reg:
        paths.append(folder / learn2reg_name(*source.names))
        field_files.write_field_learn2reg(paths[-1], moves, fixed.affine, moving.affine)
    return paths


def _write_inverse(folder: Path, source: Source) -> tuple[list[Path], float]:
    inverse, residual_mm = source.transform.inverse()
    transforms.write_transform(folder / INVERSE, inverse)
    moves = pull.displacement(
        source.transform, source.moving.affine, source.moving.shape, inverse=True
    )
    field_files.write_field(folder / INVERSE_FIELD, moves, source.moving.affine)
    return [folder / INVERSE, folder / INVERSE_FIELD], round(residual_mm, 4)
