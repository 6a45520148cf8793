"""Displacement fields as images: in the conventions of ITK, NIfTI, FSL and Learn2Reg (the last two not read).

All belong to the fixed image's grid and take a fixed point to its moving point.
"""

from __future__ import annotations

import re
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
from tenter.formats import itk_files, nifti, volumes
from tenter.formats.headers import refusal
from tenter.shapes import Matrix
from tenter.spatial import geometry, grids, slices
from tenter.spatial.transform import Transform

VECTOR, DISPLACEMENT, FSL_FIELD, NO_INTENT = 1007, 1006, 2006, 0
"""Intent codes: ITK's and ANTs' displacements in LPS; NIfTI's in RAS; FNIRT's."""

NIFTYREG, NIFTYREG_DISPLACEMENT = "NREG_TRANS", 1
"""Intent name of NiftyReg's transforms, and the first parameter of those that are displacements (RAS)."""

SPM = "Mapping"
"""Intent name of SPM's deformations, which hold places."""

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
"""Of isal: the fastest on displacement fields, and no larger than the others."""

HEADER_BYTES = 352
LONGEST_HEADER = 2**16

IMAGES = (*nifti.SUFFIXES, *itk_files.SUFFIXES)
"""Suffixes by which a field is known from a transform file."""

GIVE_ANOTHER = (
    "give transform.h5, or a field in mm as ITK, ANTs and 3D Slicer store it (NIfTI with sizes "
    "x, y, z, 1, 3 and intent 1007 in LPS or 1006 in RAS; .mha or .nrrd with three values a voxel, LPS)"
)

FROM_FSL = (
    "convert it by wb_command -convert-warpfield -from-fnirt {name} MOVING -to-itk field.nii.gz (of "
    "coefficients first make a warp: fnirtfileutils --in={name} --ref=FIXED --out=WARP --withaff), or "
    + GIVE_ANOTHER
)
FROM_NIFTYREG = "convert it by reg_transform -ref FIXED -disp {name} field.nii.gz, or " + GIVE_ANOTHER
FROM_SPM = (
    "subtract from it the RAS mm of each of its voxels, and set the intent code to 1006 without a name, or "
    + GIVE_ANOTHER
)


def write_field(path: Path, displacement_mm: Float[Tensor, "3 x y z"], affine: Matrix) -> None:
    """Write a displacement field as ITK, ANTs and 3D Slicer read it.

    NIfTI, axes (x, y, z, 1, component), LPS mm, intent 1007 (vector). A slice across the third axis
    is stored with that axis first: ITK would take it for an image of two dimensions.

    Args:
        path: `.nii.gz`.
        displacement_mm: `[3, x, y, z]`, moving minus fixed point, RAS mm.
        affine: voxel to RAS mm.

    Raises:
        OutputError: it could not be written whole.
    """
    displacement_mm, affine = _upright(displacement_mm, affine)
    content = _on_disk(displacement_mm)
    content[:2].neg_()
    _write(path, content, affine, VECTOR)


def write_field_ras(path: Path, displacement_mm: Float[Tensor, "3 x y z"], affine: Matrix) -> None:
    """Write a displacement field as the NIfTI standard has it.

    Axes (x, y, z, 1, component), RAS mm, intent 1006 (displacement). ITK from 5.4 on turns it to
    LPS when it reads it; older programs that are built on it take it for LPS, which is wrong. A slice
    is stored as by `write_field`.

    Args:
        path: `.nii.gz`.
        displacement_mm: `[3, x, y, z]`, moving minus fixed point, RAS mm.
        affine: voxel to RAS mm.

    Raises:
        OutputError: it could not be written whole.
    """
    displacement_mm, affine = _upright(displacement_mm, affine)
    _write(path, _on_disk(displacement_mm), affine, DISPLACEMENT)


def write_field_fsl(
    path: Path,
    displacement_mm: Float[Tensor, "3 x y z"],
    affine: Matrix,
    moving_affine: Matrix,
    moving_shape: Sequence[int],
) -> None:
    """Write a relative warp as FSL's `applywarp --rel` reads it.

    Axes (x, y, z, component), intent 2006. The displacement is a moving place in the moving
    image's FSL coordinates minus the fixed place in the fixed image's: voxels times their
    sizes in mm, the first axis counted from its other end where the image's axes are right-handed.

    Args:
        path: `.nii.gz`.
        displacement_mm: `[3, x, y, z]`, moving minus fixed point, RAS mm.
        affine: voxel to RAS mm.
        moving_affine: the moving image's, voxel to RAS mm.
        moving_shape: the moving image's voxels.

    Raises:
        OutputError: it could not be written whole.
    """
    fixed = _fsl_mm(affine, displacement_mm.shape[1:])
    moving = _fsl_mm(moving_affine, moving_shape) @ np.linalg.inv(moving_affine)
    content = _between(displacement_mm, moving, moving @ affine - fixed)
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
        OutputError: it could not be written whole.
    """
    to_voxels = np.linalg.inv(moving_affine)
    content = _between(displacement_mm, to_voxels, to_voxels @ affine - np.eye(4))
    _write(path, content, affine, NO_INTENT)


def read_field(path: Path) -> Transform:
    """Read a displacement field of ITK, ANTs, 3D Slicer or NiftyReg, or one in RAS by the NIfTI standard.

    Args:
        path: NIfTI (`.nii`, `.nii.gz`) with sizes x, y, z, 1, 3 and intent 1007 (LPS mm; RAS mm if
            NiftyReg's name and parameter say that it holds displacements) or 1006 (RAS mm); or
            MetaImage or NRRD (`.mha`, `.mhd`, `.nrrd`, `.nhdr`) with three values a voxel, LPS mm.

    Returns:
        The map, its alignment identity, its field in float32 on the CPU.

    Raises:
        DataError: it is damaged, or in another convention.
    """
    head = volumes.header(path)
    if head.channels != 3:
        raise refusal(path, f"holds {head.channels} values a voxel, no displacements", GIVE_ANOTHER)
    if head.dtype.kind != "f" and path.name.lower().endswith(itk_files.SUFFIXES):
        raise refusal(path, f"holds {head.dtype} values (colours?), no displacements", GIVE_ANOTHER)
    in_lps = _in_lps(path)
    volume = volumes.read_image(path)
    to_voxels = np.linalg.inv(volume.affine)[:3, :3]
    if in_lps:
        to_voxels = to_voxels @ geometry.LPS[:3, :3]
    voxels = np.einsum("rc,cxyz->rxyz", to_voxels, volume.array, dtype=np.float64)
    return Transform(np.eye(4), torch.from_numpy(voxels[None].astype(np.float32)), volume.affine)


def _in_lps(path: Path) -> bool:
    """Whether a field's displacements are in LPS; else they are in RAS."""
    if path.name.lower().endswith(itk_files.SUFFIXES):
        _require_plain(path)
        return True
    intent = nifti.intent(path)
    _require_known_program(path, intent)
    if intent.name == NIFTYREG:
        return False
    header: Any = nib.load(path).header
    sizes = header.get_data_shape()
    if intent.code not in {VECTOR, DISPLACEMENT} or len(sizes) != 5:
        what = f"is no displacement field in mm by its header (intent {intent.code}, sizes {tuple(sizes)})"
        raise refusal(path, what, GIVE_ANOTHER)
    return intent.code == VECTOR


def _require_known_program(path: Path, intent: nifti.Intent) -> None:
    """Refuse fields of programs that hold other things than displacements in mm."""
    if intent.code in FSL_INTENTS:
        what = f"is {FSL_INTENTS[intent.code]}, in coordinates of its two images (intent {intent.code})"
        raise refusal(path, what, FROM_FSL.format(name=path.name))
    if intent.name.startswith("NREG") and (intent.name, intent.p1) != (NIFTYREG, NIFTYREG_DISPLACEMENT):
        what = "is a transform of NiftyReg that holds places, control points or velocities"
        raise refusal(path, what, FROM_NIFTYREG.format(name=path.name))
    if intent.name == SPM:
        raise refusal(path, "is a deformation of SPM, which holds places", FROM_SPM)
    if intent.name and intent.name != NIFTYREG:
        what = f"is named {intent.name!a} in its header (intent_name), by an unknown program"
        raise refusal(path, what, GIVE_ANOTHER)


def _require_plain(path: Path) -> None:
    """Refuse a NRRD file that does not hold what its vectors are read as."""
    with path.open("rb") as stream:
        text = stream.read(LONGEST_HEADER).partition(b"\n\n")[0].decode("latin-1")
    if not text.startswith("NRRD"):
        return
    if re.search(r"^space:\s*(left-posterior-superior|lps)\s*$", text, re.IGNORECASE | re.MULTILINE) is None:
        raise refusal(path, "is not in the space left-posterior-superior", GIVE_ANOTHER)
    if re.search(r"^displacement field type:=\s*modeling", text, re.IGNORECASE | re.MULTILINE):
        what = "goes from moving to fixed points (its displacement field type is modeling)"
        raise refusal(path, what, "invert it in 3D Slicer before it is saved")


def _upright(
    displacement_mm: Float[Tensor, "3 x y z"], affine: Matrix
) -> tuple[Float[Tensor, "3 i j k"], Matrix]:
    """A field and its grid, a slice across the third axis with that axis first."""
    if slices.normal(displacement_mm.shape[1:]) != 2:
        return displacement_mm, affine
    return displacement_mm.permute(0, 3, 1, 2), affine[:, [2, 0, 1, 3]]


def _on_disk(displacement_mm: Tensor) -> Float[Tensor, "3 z y x"]:
    """A copy in the file's order and type."""
    content = torch.empty((3, *reversed(displacement_mm.shape[1:])), dtype=torch.float32)
    content.copy_(displacement_mm.detach().permute(0, 3, 2, 1))
    return content


def _between(displacement_mm: Tensor, moved: Matrix, rest: Matrix) -> Float[Tensor, "3 z y x"]:
    """Displacement between coordinates of two images: linear in the mm, plus affine in the voxel.

    Args:
        displacement_mm: `[3, x, y, z]`.
        moved: RAS mm to coordinates of the moving image.
        rest: voxel of the fixed grid to coordinates, moving minus fixed, where nothing is displaced.
    """
    content = torch.empty((3, *reversed(displacement_mm.shape[1:])), dtype=torch.float32)
    linear = torch.from_numpy(np.ascontiguousarray(moved[:3, :3]))
    for first, layer in enumerate(displacement_mm.detach().unbind(dim=1)):
        moves = torch.einsum("rc,cyz->ryz", linear, layer.to(device="cpu", dtype=torch.float64))
        here = rest @ geometry.translation((float(first), 0.0, 0.0))
        start = grids.mapped(torch.from_numpy(here[None, :3]), (1, *layer.shape[1:]))[0, :, 0]
        content[..., first] = (moves + start).transpose(1, 2)
    return content


def _fsl_mm(affine: Matrix, shape: Sequence[int]) -> Matrix:
    """Voxel to FSL's coordinates of an image."""
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
            # Neither name nor time inside, so that equal fields are equal files.
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
    """Unpack it all: checks what the disk kept, to the checksum at its end."""
    found = 0
    try:
        with igzip.open(temporary, "rb") as stream:
            while block := stream.read(2**22):
                found += len(block)
    except (EOFError, igzip.BadGzipFile) as error:
        message = (
            f"{path}: reads back damaged ({error}); have the disk checked and run the same command again"
        )
        raise OutputError(message) from error
    if found != expected:
        message = (
            f"{path}: {found} of {expected} bytes were written; "
            "have the disk checked and run the same command again"
        )
        raise OutputError(message)
