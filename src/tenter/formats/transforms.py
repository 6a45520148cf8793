"""Transform files: writes ITK composites, and reads files of ITK, ANTs, elastix and 3D Slicer.

Files use LPS mm, tenter uses RAS mm; both map a fixed point to its moving point. Files of other
programs are recognised and refused by `foreign_transforms`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from torch import Tensor

from tenter import files
from tenter.errors import DataError, OutputError
from tenter.formats import elastix, fields, foreign_transforms
from tenter.formats.headers import refusal
from tenter.records import Fault
from tenter.shapes import Matrix
from tenter.spatial import geometry
from tenter.spatial.transform import Transform

LARGEST_MM = 1e6
ORTHOGONAL = 1e-6
OVERHEAD = 65_536
"""Upper bound of the bytes of a transform file in addition to its field."""

MORE_FIELDS = (
    "combine them into one (antsApplyTransforms -o [field.nii.gz,1], or harden them in 3D Slicer)"
)
NO_FIELD = (
    "store it as a displacement field (3D Slicer: Transforms, Convert; SimpleITK: "
    "TransformToDisplacementField)"
)

GIVE_AFFINE = "give a rigid or affine transform"


def write_transform(path: Path, transform: Transform) -> None:
    """Write the whole map as an ITK composite of the field and the alignment.

    ITK applies the last transform of a composite first: in the file the alignment comes first
    and the field on its grid last. If the grid is sheared but its image under the alignment is not,
    as for an inverse, the field comes first, on that image, and the alignment last.

    Args:
        path: `.h5`.
        transform: its grid, or the grid's image under the alignment, must be free of shear.

    Raises:
        OutputError: the file could not be written completely.
    """
    last = not _is_sheared(transform.affine)
    displacements = _itk_field(
        transform, transform.affine if last else transform.alignment @ transform.affine
    )
    # The transform takes ownership of the image and leaves it empty, hence the copy.
    parts = [
        _itk_affine(transform.alignment),
        sitk.DisplacementFieldTransform(sitk.Image(displacements)),
    ]
    composite = sitk.CompositeTransform(parts if last else parts[::-1])
    with files.written_whole(path) as temporary:
        files.require_space(temporary, 8 * displacements.GetNumberOfPixels() * 3 + OVERHEAD)
        try:
            sitk.WriteTransform(composite, str(temporary))
            written_field = next(filter(_is_field, _parts(temporary)))
        except (RuntimeError, DataError) as error:
            files.require_writable(temporary)
            message = f"could not be written completely ({_reason(error)})"
            raise OutputError(Fault(str(path), message, "run the same command again")) from error
        if not np.array_equal(
            _displacements(written_field), sitk.GetArrayViewFromImage(displacements)
        ):
            message = "reads back differently from what was written"
            raise OutputError(Fault(str(path), message, "check the disk"))


def read_transform(path: Path) -> Transform:
    """Read a transform from fixed to moving points.

    Args:
        path: a file of `write_transform`; any linear ITK transform; a displacement field, as a
            transform (`.h5`, `.tfm`, `.mat`) or as an image (`fields.read_field`); a composite
            of linear transforms and at most one displacement field, in any order; or linear
            transforms of elastix.

    Returns:
        The same map, with its field in float32 on the CPU; 2 x 2 x 2 zeros if it has none.

    Raises:
        DataError: it is missing, damaged, or another kind of transform.
    """
    if path.name.lower().endswith(fields.IMAGES):
        return fields.read_field(path)
    parts = _parts(path)
    field_indices = [index for index, part in enumerate(parts) if _is_field(part)]
    unsupported = [part for part in parts if not _is_field(part) and not part.IsLinear()]
    if unsupported:
        message = f"holds a {unsupported[0].GetName()}, which is neither linear nor a field"
        raise refusal(path, message, NO_FIELD)
    if len(field_indices) > 1:
        message = f"holds {len(field_indices)} displacement fields"
        raise refusal(path, message, MORE_FIELDS)
    if not field_indices:
        return Transform(_linear(path, parts), torch.zeros(1, 3, 2, 2, 2), np.eye(4))
    before, after = (
        _linear(path, parts[field_indices[0] + 1 :]),
        _linear(path, parts[: field_indices[0]]),
    )
    grid, voxels = _grid_and_voxels(path, sitk.DisplacementFieldTransform(parts[field_indices[0]]))
    return Transform(after @ before, voxels, np.linalg.inv(before) @ grid)


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
    if path.name.lower().endswith(fields.IMAGES):
        raise refusal(path, "is a displacement field, which is not affine", GIVE_AFFINE)
    parts = _parts(path)
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


def _itk_affine(matrix: Matrix) -> sitk.AffineTransform:
    lps = geometry.LPS @ matrix @ geometry.LPS
    affine = sitk.AffineTransform(3)
    affine.SetMatrix(lps[:3, :3].ravel().tolist())
    affine.SetTranslation(lps[:3, 3].tolist())
    return affine


def _is_sheared(grid: Matrix) -> bool:
    direction = grid[:3, :3] / geometry.spacing_mm(grid)
    return bool(np.abs(direction.T @ direction - np.eye(3)).max() > ORTHOGONAL)


def _itk_field(transform: Transform, grid: Matrix) -> sitk.Image:
    """The field in mm, on a grid with the same number of voxels."""
    if _is_sheared(grid):
        message = "a grid with shear cannot be written as an ITK displacement field"
        raise ValueError(message)
    lps = geometry.LPS @ grid
    spacing = np.array(geometry.spacing_mm(grid))
    voxels = transform.field[0].detach().to(device="cpu", dtype=torch.float64)
    displacements = torch.einsum("rc,cxyz->zyxr", torch.from_numpy(lps[:3, :3]), voxels)
    image = sitk.GetImageFromArray(displacements.numpy(), isVector=True)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image


def _grid_and_voxels(path: Path, field: sitk.DisplacementFieldTransform) -> tuple[Matrix, Tensor]:
    """The grid of a field, voxel to RAS mm, and the field in its voxels."""
    image = field.GetDisplacementField()
    grid = np.eye(4)
    grid[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    grid[:3, 3] = image.GetOrigin()
    grid = geometry.LPS @ grid
    to_voxels = np.linalg.inv(grid)[:3, :3] @ geometry.LPS[:3, :3]
    displacements = torch.from_numpy(_displacements(field)).permute(
        3, 0, 1, 2
    )  # channels contiguous
    voxels = (
        (torch.from_numpy(to_voxels) @ displacements.flatten(1))
        .reshape(displacements.shape)
        .float()
    )
    if not bool(voxels.isfinite().all()):
        raise refusal(path, "holds displacements that are NaN or infinite", "create it again")
    return grid, voxels.permute(0, 3, 2, 1).contiguous()[None]


def _parts(path: Path) -> list[sitk.Transform]:
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


def _is_field(transform: sitk.Transform) -> bool:
    return bool(transform.GetTransformEnum() == sitk.sitkDisplacementField)


def _read(path: Path) -> sitk.Transform:
    try:
        transform: sitk.Transform = sitk.ReadTransform(str(path))
    except (RuntimeError, UnicodeDecodeError) as error:  # the latter if ITK quotes damaged bytes
        message = f"is not an ITK transform, or is damaged ({_reason(error)})"
        raise refusal(path, message, "copy or create it again") from error
    if transform.GetDimension() != 3:
        raise refusal(path, f"is a {transform.GetDimension()}-D transform", "give a 3-D one")
    return transform


def _displacements(field: sitk.Transform) -> np.ndarray:
    """Displacements `[z, y, x, 3]`, LPS mm."""
    image = sitk.DisplacementFieldTransform(field).GetDisplacementField()
    array: np.ndarray = sitk.GetArrayFromImage(image)
    return array


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


def _reason(error: Exception) -> str:
    if isinstance(error, DataError):
        return "; ".join(fault.message for fault in error.faults)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
