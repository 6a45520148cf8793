"""Transform files: ITK composites (.h5), displacement fields (NIfTI), users' initial transforms.

Files hold LPS mm, the program RAS mm; both map a fixed point to its moving point.
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
import torch
from isal import igzip
from jaxtyping import Float
from torch import Tensor

from tenter import files
from tenter.errors import DataError, OutputError
from tenter.shapes import Matrix
from tenter.spatial import geometry
from tenter.spatial.transform import Transform

GZIP_LEVEL = 2
"""Of isal: the fastest on displacement fields, and no larger than the others."""

HEADER_BYTES = 352
LARGEST_MM = 1e6
ORTHOGONAL = 1e-6


def write_transform(path: Path, transform: Transform) -> None:
    """Write the whole map as an ITK composite: the field on the case grid, then the alignment.

    ITK applies the last transform of a composite first, so the alignment comes first in it.

    Args:
        path: `.h5`.
        transform: its grid must be free of shear.

    Raises:
        OutputError: it could not be written whole.
    """
    moves = _itk_field(transform)
    # The transform takes the image over and leaves it empty, so that it is copied.
    field = sitk.DisplacementFieldTransform(sitk.Image(moves))
    composite = sitk.CompositeTransform([_itk_affine(transform.alignment), field])
    with files.written_whole(path) as temporary:
        try:
            sitk.WriteTransform(composite, str(temporary))
            kept = _parts(temporary)
        except (RuntimeError, DataError) as error:
            message = f"{path}: could not be written whole ({_reason(error)}); is the disk full?"
            raise OutputError(message) from error
        if not np.array_equal(_moves(kept[1]), sitk.GetArrayViewFromImage(moves)):
            message = f"{path}: reads back otherwise than it was written; check the disk"
            raise OutputError(message)


def read_transform(path: Path) -> Transform:
    """Read what `write_transform` wrote.

    Args:
        path: `.h5`.

    Returns:
        The same map, its field in float32 on the CPU.

    Raises:
        DataError: it is missing, damaged, or another kind of transform.
    """
    alignment, field = _parts(path)
    image = field.GetDisplacementField()
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    affine = geometry.LPS @ affine
    to_voxels = np.linalg.inv(affine)[:3, :3] @ geometry.LPS[:3, :3]
    voxels = np.einsum("rc,zyxc->rxyz", to_voxels, _moves(field))
    return Transform(_ras(_matrix(alignment)), torch.from_numpy(voxels[None].astype(np.float32)), affine)


def read_alignment(path: Path) -> Matrix:
    """Read an initial transform: any ITK transform or composite of them that is affine.

    Args:
        path: `.h5`, `.tfm`, `.txt` or `.mat` (ANTs, Elastix and 3D Slicer write them), mapping
            fixed points to moving points in LPS mm, as all of these tools do.

    Returns:
        RAS mm to RAS mm, a fixed point to its moving point.

    Raises:
        DataError: it cannot be read, is not affine, or cannot be inverted.
    """
    transform = _read(path)
    if transform.GetDimension() != 3:
        message = f"{path}: is a {transform.GetDimension()}-D transform; give a 3-D one"
        raise DataError(message)
    if not transform.IsLinear():
        message = f"{path}: is {transform.GetName()}, which is not affine; give a rigid or affine transform"
        raise DataError(message)
    matrix = _matrix(transform)
    if not np.isfinite(matrix).all() or np.abs(matrix).max() > LARGEST_MM:
        message = f"{path}: holds numbers that are no transform in mm; make it again"
        raise DataError(message)
    if abs(np.linalg.det(matrix[:3, :3])) < 1e-6:
        message = f"{path}: maps space onto a plane (its matrix is singular); make it again"
        raise DataError(message)
    return _ras(matrix)


def write_field(path: Path, displacement_mm: Float[Tensor, "3 x y z"], affine: Matrix) -> None:
    """Write a displacement field as ITK, ANTs and 3D Slicer read it.

    NIfTI, axes (x, y, z, 1, component), float32, LPS mm, intent 1007 (vector).

    Args:
        path: `.nii.gz`.
        displacement_mm: `[3, x, y, z]`, moving minus fixed point, RAS mm.
        affine: voxel to RAS mm.

    Raises:
        OutputError: it could not be written whole.
    """
    # On disk x runs fastest and the component slowest.
    lps = torch.empty((3, *reversed(displacement_mm.shape[1:])), dtype=torch.float32)
    lps.copy_(displacement_mm.detach().permute(0, 3, 2, 1))
    lps[:2].neg_()
    content = lps.numpy().data.cast("B")
    header = _field_header(displacement_mm.shape[1:], affine)
    with files.written_whole(path) as temporary:
        with (
            temporary.open("wb") as plain,
            # Neither name nor time inside, so that equal fields are equal files.
            igzip.IGzipFile("", "wb", GZIP_LEVEL, plain, mtime=0) as stream,
        ):
            stream.write(header)
            stream.write(content)
        _verify(path, temporary, HEADER_BYTES + content.nbytes)


def _field_header(shape: torch.Size, affine: Matrix) -> bytes:
    header = nib.nifti1.Nifti1Header()
    header.set_data_dtype(np.float32)
    header.set_data_shape((*shape, 1, 3))
    header.set_intent("vector")
    header.set_xyzt_units("mm")
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1, strip_shears=True)
    header["magic"] = b"n+1"
    header["vox_offset"] = HEADER_BYTES
    header.set_slope_inter(1, 0)
    block: bytes = header.binaryblock
    return block + bytes(HEADER_BYTES - len(block))


def _verify(path: Path, temporary: Path, expected: int) -> None:
    """Unpack it all: checks what the disk kept, to the checksum at its end."""
    found = 0
    try:
        with igzip.open(temporary, "rb") as stream:
            while block := stream.read(2**22):
                found += len(block)
    except (EOFError, igzip.BadGzipFile) as error:
        message = f"{path}: could not be written whole ({error}); is the disk full?"
        raise OutputError(message) from error
    if found != expected:
        message = f"{path}: {found} of {expected} bytes were written; is the disk full?"
        raise OutputError(message)


def _itk_affine(matrix: Matrix) -> sitk.AffineTransform:
    lps = geometry.LPS @ matrix @ geometry.LPS
    affine = sitk.AffineTransform(3)
    affine.SetMatrix(lps[:3, :3].ravel().tolist())
    affine.SetTranslation(lps[:3, 3].tolist())
    return affine


def _itk_field(transform: Transform) -> sitk.Image:
    lps = geometry.LPS @ transform.affine
    spacing = np.array(geometry.spacing_mm(transform.affine))
    direction = lps[:3, :3] / spacing
    if np.abs(direction.T @ direction - np.eye(3)).max() > ORTHOGONAL:
        message = "a grid with shear cannot be written as an ITK displacement field"
        raise ValueError(message)
    voxels = transform.field[0].detach().to(device="cpu", dtype=torch.float64)
    moves = torch.einsum("rc,cxyz->zyxr", torch.from_numpy(lps[:3, :3]), voxels)
    image = sitk.GetImageFromArray(moves.numpy(), isVector=True)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection(direction.ravel().tolist())
    return image


def _parts(path: Path) -> tuple[sitk.Transform, sitk.DisplacementFieldTransform]:
    """The alignment and the field of a composite that `write_transform` wrote."""
    transform = _read(path)
    if transform.GetDimension() == 3 and transform.GetTransformEnum() == sitk.sitkComposite:
        composite = sitk.CompositeTransform(transform)
        count = composite.GetNumberOfTransforms()
        parts = [composite.GetNthTransform(position) for position in range(count)]
        if [part.GetTransformEnum() for part in parts] == [sitk.sitkAffine, sitk.sitkDisplacementField]:
            return parts[0], sitk.DisplacementFieldTransform(parts[1])
    message = f"{path}: is no registration of this program (an affine transform and a displacement field)"
    raise DataError(message)


def _read(path: Path) -> sitk.Transform:
    if not path.is_file():
        message = f"{path}: is missing"
        raise DataError(message)
    try:
        transform: sitk.Transform = sitk.ReadTransform(str(path))
    except RuntimeError as error:
        message = f"{path}: is no ITK transform, or is damaged ({_reason(error)}); copy or make it again"
        raise DataError(message) from error
    return transform


def _moves(field: sitk.DisplacementFieldTransform) -> np.ndarray:
    """Displacements `[z, y, x, 3]`, LPS mm."""
    array: np.ndarray = sitk.GetArrayFromImage(field.GetDisplacementField())
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
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
