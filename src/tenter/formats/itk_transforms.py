"""Reads transform files of ITK, ANTs, elastix and 3D Slicer as arrays.

Files use LPS mm, tenter uses RAS mm; both map a fixed point to its moving point. Files of other
programs are recognised and refused by `foreign_transforms`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from jaxtyping import Float32

from tenter.errors import DataError
from tenter.formats import elastix, foreign_transforms, known_formats
from tenter.formats.headers import refusal
from tenter.shapes import Matrix
from tenter.spatial import geometry

LARGEST_MM = 1e6

MORE_FIELDS = (
    "combine them into one (antsApplyTransforms -o [field.nii.gz,1], or harden them in 3D Slicer)"
)
NO_FIELD = (
    "store it as a displacement field (3D Slicer: Transforms, Convert; SimpleITK: "
    "TransformToDisplacementField)"
)

GIVE_AFFINE = "give a rigid or affine transform"


@dataclass(frozen=True, slots=True, eq=False)
class StoredTransform:
    """A map from fixed to moving points as a file holds it, in RAS mm and without torch.

    Attributes:
        alignment: RAS mm to RAS mm, applied after the field.
        field: `[3, x, y, z]`, voxels of its grid; 2 x 2 x 2 zeros if the file holds none.
        affine: voxel of the field's grid to RAS mm.
    """

    alignment: Matrix
    field: Float32[np.ndarray, "3 x y z"]
    affine: Matrix


def read(path: Path) -> StoredTransform:
    """Read a transform file.

    Args:
        path: any linear ITK transform; a displacement field as a transform (`.h5`, `.tfm`, `.mat`);
            a composite of linear transforms and at most one displacement field, in any order; or
            linear transforms of elastix.

    Raises:
        DataError: it is missing, damaged, or another kind of transform.
    """
    parts = parts_of(path)
    field_indices = [index for index, part in enumerate(parts) if is_field(part)]
    unsupported = [part for part in parts if not is_field(part) and not part.IsLinear()]
    if unsupported:
        message = f"holds a {unsupported[0].GetName()}, which is neither linear nor a field"
        raise refusal(path, message, NO_FIELD)
    if len(field_indices) > 1:
        message = f"holds {len(field_indices)} displacement fields"
        raise refusal(path, message, MORE_FIELDS)
    if not field_indices:
        return StoredTransform(
            _linear(path, parts), np.zeros((3, 2, 2, 2), dtype=np.float32), np.eye(4)
        )
    before, after = (
        _linear(path, parts[field_indices[0] + 1 :]),
        _linear(path, parts[: field_indices[0]]),
    )
    grid, voxels = _grid_and_voxels(path, sitk.DisplacementFieldTransform(parts[field_indices[0]]))
    return StoredTransform(after @ before, voxels, np.linalg.inv(before) @ grid)


def read_alignment(path: Path) -> Matrix:
    """Read an initial transform: any ITK transform or composite of them that is affine.

    Args:
        path: `.h5`, `.tfm`, `.txt` or `.mat` (ANTs and 3D Slicer write them), or a parameter file
            of elastix, mapping fixed points to moving points in LPS mm, as all of these tools do.

    Returns:
        RAS mm to RAS mm, a fixed point to its moving point.

    Raises:
        DataError: it cannot be read, is not affine, or cannot be inverted.
    """
    if path.name.lower().endswith(known_formats.suffixes()):
        raise refusal(path, "is a displacement field, which is not affine", GIVE_AFFINE)
    parts = parts_of(path)
    for part in parts:
        if not part.IsLinear():
            raise refusal(path, f"is {part.GetName()}, which is not affine", GIVE_AFFINE)
    return _linear(path, parts)


def _linear(path: Path, parts: Sequence[sitk.Transform]) -> Matrix:
    """The matrix of linear transforms, RAS mm to RAS mm; the last one is applied first."""
    matrix: Matrix = functools.reduce(np.matmul, map(_matrix, parts), np.eye(4))
    if not np.isfinite(matrix).all() or np.abs(matrix).max() > LARGEST_MM:
        raise refusal(path, "holds numbers that cannot be a transform in mm", "create it again")
    if abs(np.linalg.det(matrix[:3, :3])) < 1e-6:
        message = "maps space onto a plane (its matrix is singular)"
        raise refusal(path, message, "create it again")
    return _ras(matrix)


def parts_of(path: Path) -> list[sitk.Transform]:
    """The transforms in a file; the last one is applied first."""
    if not path.is_file():
        raise refusal(path, "is missing, or is not a file", "correct its path")
    if elastix.is_parameter_file(foreign_transforms.start(path)):
        return elastix.read_chain(path)
    foreign_transforms.require_itk(path)
    transform = _read(path)
    if transform.GetTransformEnum() != sitk.sitkComposite:
        return [transform]
    composite = sitk.CompositeTransform(transform)
    composite.FlattenTransform()
    return [composite.GetNthTransform(index) for index in range(composite.GetNumberOfTransforms())]


def is_field(transform: sitk.Transform) -> bool:
    """Whether a transform is a displacement field."""
    return bool(transform.GetTransformEnum() == sitk.sitkDisplacementField)


def displacements(field: sitk.Transform) -> np.ndarray:
    """Displacements `[z, y, x, 3]`, LPS mm."""
    image = sitk.DisplacementFieldTransform(field).GetDisplacementField()
    array: np.ndarray = sitk.GetArrayFromImage(image)
    return array


def reason(error: Exception) -> str:
    """Why a transform could not be read, or written, in one line."""
    if isinstance(error, DataError):
        return "; ".join(fault.message for fault in error.faults)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _grid_and_voxels(
    path: Path, field: sitk.DisplacementFieldTransform
) -> tuple[Matrix, Float32[np.ndarray, "3 x y z"]]:
    """The grid of a field, voxel to RAS mm, and the field in its voxels."""
    image = field.GetDisplacementField()
    grid = np.eye(4)
    grid[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    grid[:3, 3] = image.GetOrigin()
    grid = geometry.LPS @ grid
    to_voxels = np.linalg.inv(grid)[:3, :3] @ geometry.LPS[:3, :3]
    stored = displacements(field)
    voxels = to_voxels @ np.moveaxis(stored, -1, 0).reshape(3, -1)
    if not np.isfinite(voxels).all():
        raise refusal(path, "holds displacements that are NaN or infinite", "create it again")
    in_file_order = voxels.astype(np.float32).reshape(3, *stored.shape[:3])
    return grid, np.ascontiguousarray(in_file_order.transpose(0, 3, 2, 1))


def _read(path: Path) -> sitk.Transform:
    try:
        transform: sitk.Transform = sitk.ReadTransform(str(path))
    except (RuntimeError, UnicodeDecodeError) as error:  # the latter if ITK quotes damaged bytes
        message = f"is not an ITK transform, or is damaged ({reason(error)})"
        raise refusal(path, message, "copy or create it again") from error
    if transform.GetDimension() != 3:
        raise refusal(path, f"is a {transform.GetDimension()}-D transform", "give a 3-D one")
    return transform


def _matrix(transform: sitk.Transform) -> Matrix:
    """The matrix of a linear transform, whatever its centre and parametrisation."""
    matrix = np.eye(4)
    origin = np.array(transform.TransformPoint([0.0, 0.0, 0.0]))
    units = [np.array(transform.TransformPoint(unit)) - origin for unit in np.eye(3).tolist()]
    matrix[:3, :3] = np.stack(units, axis=1)
    matrix[:3, 3] = origin
    return matrix


def _ras(matrix: Matrix) -> Matrix:
    turned: Matrix = geometry.LPS @ matrix @ geometry.LPS
    return turned
