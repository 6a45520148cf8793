"""Displacement fields as images, each read by other means than those that wrote it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage

from builders.stored_pairs import (
    FIXED_SHAPE,
    MOVING_SHAPE,
    STORAGES,
    Pair,
    affine,
    inside,
    itk_points,
    itk_warped,
    pair,
    voxel_points,
)
from tenter.errors import DataError, OutputError
from tenter.formats import fields
from tenter.shapes import Matrix
from tenter.spatial import geometry, pull

WORLD = affine("oblique", (2, 3, 4))


def displacement(case: Pair) -> torch.Tensor:
    return case.transform.displacement_mm(case.fixed, FIXED_SHAPE)


def stored_values(path: Path) -> tuple[nib.nifti1.Nifti1Image, np.ndarray]:
    image = nib.nifti1.Nifti1Image.from_filename(path)
    return image, np.asarray(image.dataobj)


def warped(case: Pair) -> np.ndarray:
    """The moving image on the fixed grid, by the program."""
    return pull.pull(case.image, case.transform, (case.fixed, FIXED_SHAPE), case.moving)[0].numpy()


def read_at(case: Pair, voxels: np.ndarray) -> np.ndarray:
    """The moving image at its voxel coordinates `[3, x, y, z]`, by SciPy."""
    read: np.ndarray = ndimage.map_coordinates(
        case.image[0, 0].numpy(), voxels, order=1, mode="nearest"
    )
    return read


def fsl_mm(voxels: np.ndarray, place: Matrix, shape: tuple[int, ...]) -> np.ndarray:
    """FSL's coordinates of voxels `[..., 3]`: mm from the corner, the first axis leftwards."""
    counted = np.array(voxels, dtype=np.float64)
    if np.linalg.det(place) > 0:
        counted[..., 0] = shape[0] - 1 - counted[..., 0]
    places: np.ndarray = counted * np.sqrt((place[:3, :3] ** 2).sum(axis=0))
    return places


def from_fsl_mm(places: np.ndarray, place: Matrix, shape: tuple[int, ...]) -> np.ndarray:
    voxels: np.ndarray = places / np.sqrt((place[:3, :3] ** 2).sum(axis=0))
    if np.linalg.det(place) > 0:
        voxels[..., 0] = shape[0] - 1 - voxels[..., 0]
    return voxels


@pytest.mark.parametrize(
    ("write", "intent", "signs"),
    [(fields.write_field, 1007, [-1, -1, 1]), (fields.write_field_ras, 1006, [1, 1, 1])],
)
def test_field_in_mm_is_a_vector_image_with_equal_forms(
    write: Callable[..., None], intent: int, signs: list[int], tmp_path: Path
) -> None:
    moves = torch.arange(2 * 3 * 4 * 3, dtype=torch.float32).reshape(3, 2, 3, 4)
    write(tmp_path / "field.nii.gz", moves, WORLD)
    image, values = stored_values(tmp_path / "field.nii.gz")
    assert values.shape == (2, 3, 4, 1, 3)
    assert (int(image.header["intent_code"]), image.get_data_dtype()) == (intent, np.float32)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 1)
    np.testing.assert_allclose(image.affine, WORLD, atol=1e-5)
    np.testing.assert_allclose(image.get_qform(), WORLD, atol=1e-4)
    np.testing.assert_array_equal(values[1, 2, 3, 0], moves[:, 1, 2, 3].numpy() * signs)


@pytest.mark.parametrize("write", [fields.write_field, fields.write_field_ras])
@pytest.mark.parametrize("fixed", STORAGES)
def test_simpleitk_warps_and_maps_alike_by_field(
    write: Callable[..., None], fixed: str, tmp_path: Path
) -> None:
    case = pair(fixed, "left-handed")
    write(tmp_path / "field.nii.gz", displacement(case), case.fixed)
    image = sitk.ReadImage(str(tmp_path / "field.nii.gz"), sitk.sitkVectorFloat64)
    field = sitk.DisplacementFieldTransform(image)
    np.testing.assert_allclose(
        itk_warped(case, field)[inside(case)], warped(case)[inside(case)], atol=1e-4
    )
    points = voxel_points(case.fixed, FIXED_SHAPE)
    np.testing.assert_allclose(
        itk_points(field, points), case.transform.map_points(points), atol=1e-3
    )


@pytest.mark.parametrize("moving", ["RAS", "LAS", "oblique", "left-handed"])
@pytest.mark.parametrize("fixed", ["RAS", "LAS", "oblique", "left-handed"])
def test_fsl_field_leads_to_the_same_place_by_fsls_rule(
    fixed: str, moving: str, tmp_path: Path
) -> None:
    case = pair(fixed, moving)
    fields.write_field_fsl(
        tmp_path / "field.nii.gz", displacement(case), case.fixed, case.moving, MOVING_SHAPE
    )
    image, values = stored_values(tmp_path / "field.nii.gz")
    assert (image.shape, int(image.header["intent_code"])) == ((*FIXED_SHAPE, 3), 2006)
    voxels = np.moveaxis(np.indices(FIXED_SHAPE), 0, -1)
    places = fsl_mm(voxels, case.fixed, FIXED_SHAPE) + values
    moving_voxels = from_fsl_mm(places, case.moving, MOVING_SHAPE)
    expected = geometry.apply(
        np.linalg.inv(case.moving),
        case.transform.map_points(
            geometry.apply(case.fixed, voxels.reshape(-1, 3).astype(np.float64))
        ),
    )
    np.testing.assert_allclose(moving_voxels.reshape(-1, 3), expected, rtol=0, atol=1e-4)
    read = read_at(case, np.moveaxis(moving_voxels, -1, 0))
    np.testing.assert_allclose(read[inside(case)], warped(case)[inside(case)], rtol=0, atol=1e-4)


@pytest.mark.parametrize("moving", ["RAS", "oblique"])
@pytest.mark.parametrize("fixed", STORAGES)
def test_learn2reg_field_warps_alike_by_the_file_alone(
    fixed: str, moving: str, tmp_path: Path
) -> None:
    case = pair(fixed, moving)
    fields.write_field_learn2reg(
        tmp_path / "disp.nii.gz", displacement(case), case.fixed, case.moving
    )
    image, values = stored_values(tmp_path / "disp.nii.gz")
    assert (image.shape, int(image.header["intent_code"])) == ((*FIXED_SHAPE, 3), 0)
    assert image.get_data_dtype() == np.float32
    read = read_at(case, np.indices(FIXED_SHAPE) + np.moveaxis(values, -1, 0))
    np.testing.assert_allclose(read[inside(case)], warped(case)[inside(case)], rtol=0, atol=1e-4)


def test_equal_fields_are_equal_files_and_the_callers_field_stays(tmp_path: Path) -> None:
    moves = torch.randn(4, 3, 2, 3).permute(3, 2, 1, 0)
    before = moves.clone()
    for name in ("a.nii.gz", "b.nii.gz"):
        fields.write_field(tmp_path / name, moves, np.eye(4))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert len(gzip.decompress((tmp_path / "a.nii.gz").read_bytes())) == 352 + 4 * 2 * 3 * 4 * 3
    assert torch.equal(moves, before)


@pytest.mark.parametrize("name", ["field.mha", "field.nrrd", "field.nii.gz", "field.mhd"])
@pytest.mark.parametrize("fixed", ["RAS", "left-handed"])
def test_field_that_itk_wrote_is_read(fixed: str, name: str, tmp_path: Path) -> None:
    case = pair(fixed, "RAS")
    fields.write_field(tmp_path / "own.nii.gz", displacement(case), case.fixed)
    image = sitk.ReadImage(str(tmp_path / "own.nii.gz"))
    sitk.WriteImage(image, str(tmp_path / name))
    read = fields.read_field(tmp_path / name)
    field = sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64))
    points = voxel_points(case.fixed, FIXED_SHAPE, between=True)
    np.testing.assert_allclose(
        read.map_points(points), itk_points(field, points), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize(
    ("intent", "shape", "complaint"),
    [
        (0, (3, 4, 5, 1, 3), "not a displacement field in mm.*intent 0"),
        (1007, (3, 4, 5, 3), r"intent 1007, sizes \(3, 4, 5, 3\)"),
        (2006, (3, 4, 5, 3), "intent 2006"),
        (1007, (3, 4, 5), "1 values per voxel"),
    ],
)
def test_nifti_that_is_no_field_in_mm_is_refused(
    intent: int, shape: tuple[int, ...], complaint: str, tmp_path: Path
) -> None:
    image = nib.nifti1.Nifti1Image(np.zeros(shape, np.float32), WORLD)
    image.header.set_intent(intent)
    nib.save(image, tmp_path / "disp.nii")
    with pytest.raises(DataError, match=rf"disp\.nii.*{complaint}.*give transform\.h5"):
        fields.read_field(tmp_path / "disp.nii")


def test_field_of_niftyreg_is_refused(tmp_path: Path) -> None:
    image = nib.nifti1.Nifti1Image(np.zeros((3, 4, 5, 1, 3), np.float32), WORLD)
    image.header.set_intent(1007, name="NREG_TRANS")
    nib.save(image, tmp_path / "cpp.nii")
    with pytest.raises(DataError, match=r"cpp\.nii.*NiftyReg"):
        fields.read_field(tmp_path / "cpp.nii")


def test_slicers_modeling_field_is_refused(tmp_path: Path) -> None:
    image = sitk.Image([3, 4, 5], sitk.sitkVectorFloat32, 3)
    image.SetMetaData("displacement field type", "modeling")
    sitk.WriteImage(image, str(tmp_path / "grid.nrrd"))
    with pytest.raises(DataError, match=r"grid\.nrrd.*from moving to fixed.*invert"):
        fields.read_field(tmp_path / "grid.nrrd")


def test_nrrd_field_in_ras_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "grid.nrrd"
    sitk.WriteImage(sitk.Image([3, 4, 5], sitk.sitkVectorFloat32, 3), str(path))
    path.write_bytes(
        path.read_bytes().replace(b"left-posterior-superior", b"right-anterior-superior")
    )
    with pytest.raises(DataError, match=r"grid\.nrrd.*left-posterior-superior"):
        fields.read_field(path)


@pytest.mark.usefixtures("small_files")
def test_full_disk_leaves_no_field(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"field\.nii\.gz"):
        fields.write_field(tmp_path / "field.nii.gz", torch.rand(3, 20, 20, 20), np.eye(4))
    assert not list(tmp_path.iterdir())
