"""Displacement fields as images, in the conventions of ITK, NIfTI, FSL and Learn2Reg.

Those of FSL and Learn2Reg are written, but not read. All are defined on the grid of the fixed image
and map a fixed point to its moving point.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from isal import igzip
from jaxtyping import Float
from torch import Tensor

from tenter import files
from tenter.errors import OutputError
from tenter.formats import known_formats, nifti, nrrd_files, volumes
from tenter.formats.headers import refusal
from tenter.records import Fault
from tenter.shapes import Matrix
from tenter.spatial import geometry, grids, slices
from tenter.spatial.transform import Transform

VECTOR, DISPLACEMENT, FSL_FIELD, NO_INTENT = 1007, 1006, 2006, 0
"""Intent codes: displacements of ITK and ANTs (LPS), of NIfTI (RAS) and of FNIRT; none."""

NIFTYREG, NIFTYREG_DISPLACEMENT = "NREG_TRANS", 1
"""Intent name of NiftyReg's transforms, and the first parameter if they are displacements (RAS)."""

SPM = "Mapping"
"""Intent name of SPM's deformations, which hold positions."""

FSL_INTENTS = {
    2006: "a warp of FSL",
    2007: "spline coefficients of FSL (fnirt)",
    2008: "cosine coefficients of FSL (fnirt)",
    2009: "spline coefficients of FSL (fnirt)",
    2016: "spline coefficients of FSL (topup)",
    2017: "spline coefficients of FSL (topup)",
    2018: "a field of FSL (topup)",
}

GZIP_LEVEL = 2
"""Level of isal: the fastest for displacement fields, with files no larger than at other levels."""

CHECK_DISK = "have the disk checked and run the same command again"
HEADER_BYTES = 352
DIRECTION = "displacement field type"
"""Key in which 3D Slicer states the direction of a field."""

GIVE_ANOTHER = (
    "give transform.h5, or a field in mm as ITK, ANTs and 3D Slicer store it (NIfTI with sizes "
    "x, y, z, 1, 3 and intent 1007 in LPS or 1006 in RAS; .mha or .nrrd with three values per "
    "voxel, LPS)"
)

FROM_FSL = (
    "convert it with wb_command -convert-warpfield -from-fnirt {name} MOVING -to-itk field.nii.gz "
    "(convert coefficients to a warp first: fnirtfileutils --in={name} --ref=FIXED --out=WARP "
    "--withaff), or " + GIVE_ANOTHER
)
FROM_NIFTYREG = (
    "convert it with reg_transform -ref FIXED -disp {name} field.nii.gz, or " + GIVE_ANOTHER
)
FROM_SPM = (
    "subtract the RAS position in mm of each voxel from it, and set the intent code to 1006 "
    "without a name, or " + GIVE_ANOTHER
)


def write_field(path: Path, displacement_mm: Float[Tensor, "3 x y z"], affine: Matrix) -> None:
    """Write a displacement field as ITK, ANTs and 3D Slicer read it.

    NIfTI, axes (x, y, z, 1, component), LPS mm, intent 1007 (vector). A slice across the third axis
    is stored with that axis first, because ITK would read it as a two-dimensional image.

    Args:
        path: `.nii.gz`.
        displacement_mm: `[3, x, y, z]`, moving minus fixed point, RAS mm.
        affine: voxel to RAS mm.

    Raises:
        OutputError: the file could not be written completely.
    """
    displacement_mm, affine = _upright(displacement_mm, affine)
    content = _stored_order(displacement_mm)
    content[:2].neg_()
    _write(path, content, affine, VECTOR)


def write_field_ras(path: Path, displacement_mm: Float[Tensor, "3 x y z"], affine: Matrix) -> None:
    """Write a displacement field as the NIfTI standard defines it.

    Axes (x, y, z, 1, component), RAS mm, intent 1006 (displacement). ITK converts it to LPS on
    reading since version 5.4; programs built on older versions misinterpret it as LPS. A slice is
    stored as by `write_field`.

    Args:
        path: `.nii.gz`.
        displacement_mm: `[3, x, y, z]`, moving minus fixed point, RAS mm.
        affine: voxel to RAS mm.

    Raises:
        OutputError: the file could not be written completely.
    """
    displacement_mm, affine = _upright(displacement_mm, affine)
    _write(path, _stored_order(displacement_mm), affine, DISPLACEMENT)


def write_field_fsl(
    path: Path,
    displacement_mm: Float[Tensor, "3 x y z"],
    affine: Matrix,
    moving_affine: Matrix,
    moving_shape: Sequence[int],
) -> None:
    """Write a relative warp as FSL's `applywarp --rel` reads it.

    Axes (x, y, z, component), intent 2006. The displacement is the moving position in FSL
    coordinates of the moving image minus the fixed position in those of the fixed image. FSL
    coordinates are voxel indices times voxel sizes in mm; the first axis is reversed if the image
    axes are right-handed.

    Args:
        path: `.nii.gz`.
        displacement_mm: `[3, x, y, z]`, moving minus fixed point, RAS mm.
        affine: voxel to RAS mm.
        moving_affine: voxel to RAS mm of the moving image.
        moving_shape: voxels of the moving image.

    Raises:
        OutputError: the file could not be written completely.
    """
    fixed = _fsl_mm(affine, displacement_mm.shape[1:])
    moving = _fsl_mm(moving_affine, moving_shape) @ np.linalg.inv(moving_affine)
    content = _coordinate_differences(displacement_mm, moving, moving @ affine - fixed)
    _write(path, content, affine, FSL_FIELD)


def write_field_learn2reg(
    path: Path, displacement_mm: Float[Tensor, "3 x y z"], affine: Matrix, moving_affine: Matrix
) -> None:
    """Write a displacement field as Learn2Reg's evaluation reads it.

    Axes (x, y, z, component), no intent: the moving image's voxel coordinates minus the fixed
    one's, in the order of the array's axes.

    Args:
        path: `.nii.gz`.
        displacement_mm: `[3, x, y, z]`, moving minus fixed point, RAS mm.
        affine: voxel to RAS mm.
        moving_affine: the moving image's, voxel to RAS mm.

    Raises:
        OutputError: the file could not be written completely.
    """
    to_voxels = np.linalg.inv(moving_affine)
    content = _coordinate_differences(displacement_mm, to_voxels, to_voxels @ affine - np.eye(4))
    _write(path, content, affine, NO_INTENT)


def read_field(path: Path) -> Transform:
    """Read a displacement field of ITK, ANTs, 3D Slicer, NiftyReg or the NIfTI standard.

    Args:
        path: NIfTI (`.nii`, `.nii.gz`) with sizes x, y, z, 1, 3 and intent 1007 (LPS mm; RAS mm if
            NiftyReg's name and parameter say that it holds displacements) or 1006 (RAS mm); or
            MetaImage or NRRD (`.mha`, `.mhd`, `.nrrd`, `.nhdr`) with three values per voxel,
            LPS mm.

    Returns:
        The map, with an identity alignment and a float32 field on the CPU.

    Raises:
        DataError: it is damaged, or in another convention.
    """
    header = volumes.header(path)
    if header.channels != 3:
        raise refusal(
            path, f"holds {header.channels} values per voxel, not displacements", GIVE_ANOTHER
        )
    if header.dtype.kind != "f" and known_formats.of(path) is not nifti.FORMAT:
        raise refusal(
            path, f"holds {header.dtype} values (colours?), not displacements", GIVE_ANOTHER
        )
    in_lps = _in_lps(path)
    volume = volumes.read_image(path)
    to_voxels = np.linalg.inv(volume.affine)[:3, :3]
    if in_lps:
        to_voxels = to_voxels @ geometry.LPS[:3, :3]
    voxels = np.einsum("rc,cxyz->rxyz", to_voxels, volume.array, dtype=np.float64)
    return Transform(np.eye(4), torch.from_numpy(voxels[None].astype(np.float32)), volume.affine)


def _in_lps(path: Path) -> bool:
    """Whether the displacements of a field are in LPS; otherwise they are in RAS."""
    if known_formats.of(path) is not nifti.FORMAT:
        _require_plain(path)
        return True
    intent = nifti.intent(path)
    _require_known_program(path, intent)
    if intent.name == NIFTYREG:
        return False
    header: Any = nib.load(path).header
    sizes = header.get_data_shape()
    if intent.code not in {VECTOR, DISPLACEMENT} or len(sizes) != 5:
        message = (
            "is not a displacement field in mm according to its header "
            f"(intent {intent.code}, sizes {tuple(sizes)})"
        )
        raise refusal(path, message, GIVE_ANOTHER)
    return intent.code == VECTOR


def _require_known_program(path: Path, intent: nifti.Intent) -> None:
    """Refuse fields of programs that do not store displacements in mm."""
    if intent.code in FSL_INTENTS:
        message = (
            f"is {FSL_INTENTS[intent.code]}, in coordinates of its two images "
            f"(intent {intent.code})"
        )
        raise refusal(path, message, FROM_FSL.format(name=path.name))
    if intent.name.startswith("NREG") and (intent.name, intent.p1) != (
        NIFTYREG,
        NIFTYREG_DISPLACEMENT,
    ):
        message = "is a transform of NiftyReg that holds positions, control points or velocities"
        raise refusal(path, message, FROM_NIFTYREG.format(name=path.name))
    if intent.name == SPM:
        raise refusal(path, "is a deformation of SPM, which holds positions", FROM_SPM)
    if intent.name and intent.name != NIFTYREG:
        message = f"is named {intent.name!a} in its header (intent_name), by an unknown program"
        raise refusal(path, message, GIVE_ANOTHER)


def _require_plain(path: Path) -> None:
    """Refuse an NRRD file whose vectors are not LPS displacements from fixed to moving points."""
    if known_formats.of(path) is not nrrd_files.FORMAT:
        return
    text = nrrd_files.text(path)
    if text.fields.get("space", "").lower() not in {"left-posterior-superior", "lps"}:
        raise refusal(path, "is not in the space left-posterior-superior", GIVE_ANOTHER)
    kinds = [value.lower() for key, value in text.pairs.items() if key.lower() == DIRECTION]
    if any(kind.startswith("modeling") for kind in kinds):
        message = "goes from moving to fixed points (its displacement field type is modeling)"
        raise refusal(path, message, "invert it in 3D Slicer before it is saved")


def _upright(
    displacement_mm: Float[Tensor, "3 x y z"], affine: Matrix
) -> tuple[Float[Tensor, "3 i j k"], Matrix]:
    """A field and its grid; if the third axis is normal to a slice, it is moved to the front."""
    if slices.normal(displacement_mm.shape[1:]) != 2:
        return displacement_mm, affine
    return displacement_mm.permute(0, 3, 1, 2), affine[:, [2, 0, 1, 3]]


def _stored_order(displacement_mm: Tensor) -> Float[Tensor, "3 z y x"]:
    """A copy in the axis order and type of the file."""
    content = torch.empty((3, *reversed(displacement_mm.shape[1:])), dtype=torch.float32)
    content.copy_(displacement_mm.detach().permute(0, 3, 2, 1))
    return content


def _coordinate_differences(
    displacement_mm: Tensor, to_moving: Matrix, undisplaced: Matrix
) -> Float[Tensor, "3 z y x"]:
    """Differences between coordinates of two images: linear in mm, plus affine in the voxel index.

    Args:
        displacement_mm: `[3, x, y, z]`.
        to_moving: RAS mm to coordinates of the moving image.
        undisplaced: voxel of the fixed grid to the coordinate difference, moving minus fixed, at
            zero displacement.
    """
    content = torch.empty((3, *reversed(displacement_mm.shape[1:])), dtype=torch.float32)
    linear = torch.from_numpy(np.ascontiguousarray(to_moving[:3, :3]))
    for first, layer in enumerate(displacement_mm.detach().unbind(dim=1)):
        displacements = torch.einsum(
            "rc,cyz->ryz", linear, layer.to(device="cpu", dtype=torch.float64)
        )
        layer_affine = undisplaced @ geometry.translation((float(first), 0.0, 0.0))
        start = grids.mapped(torch.from_numpy(layer_affine[None, :3]), (1, *layer.shape[1:]))[
            0, :, 0
        ]
        content[..., first] = (displacements + start).transpose(1, 2)
    return content


def _fsl_mm(affine: Matrix, shape: Sequence[int]) -> Matrix:
    """Voxel to FSL coordinates of an image."""
    result = np.diag([*geometry.spacing_mm(affine), 1.0])
    if np.linalg.det(affine[:3, :3]) > 0:
        result[0, 3] = result[0, 0] * (shape[0] - 1)
        result[0, 0] *= -1
    return result


def _write(path: Path, content: Float[Tensor, "3 z y x"], affine: Matrix, intent: int) -> None:
    values = content.numpy().data.cast("B")
    header = _header(tuple(reversed(content.shape[1:])), affine, intent)
    with files.written_whole(path) as temporary:
        with (
            temporary.open("wb") as plain,
            # Without a name or time stamp, so that equal fields yield equal files.
            igzip.IGzipFile("", "wb", GZIP_LEVEL, plain, mtime=0) as stream,
        ):
            stream.write(header)
            stream.write(values)
        _verify(path, temporary, HEADER_BYTES + values.nbytes)


def _header(shape: tuple[int, ...], affine: Matrix, intent: int) -> bytes:
    header = nib.nifti1.Nifti1Header()
    header.set_data_dtype(np.float32)
    header.set_data_shape((*shape, 1, 3) if intent in (VECTOR, DISPLACEMENT) else (*shape, 3))
    header.set_intent(intent)
    header.set_xyzt_units("mm")
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1, strip_shears=True)
    header["magic"] = b"n+1"
    header["vox_offset"] = HEADER_BYTES
    header.set_slope_inter(1, 0)
    block: bytes = header.binaryblock
    return block + bytes(HEADER_BYTES - len(block))


def _verify(path: Path, temporary: Path, expected: int) -> None:
    """Unpack the whole file, which verifies its length and checksum on the disk."""
    length = 0
    try:
        with igzip.open(temporary, "rb") as stream:
            while block := stream.read(2**22):
                length += len(block)
    except (EOFError, igzip.BadGzipFile) as error:
        raise OutputError(Fault(str(path), f"reads back damaged ({error})", CHECK_DISK)) from error
    if length != expected:
        message = f"{length} of {expected} bytes were written"
        raise OutputError(Fault(str(path), message, CHECK_DISK))
