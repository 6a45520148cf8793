"""Transform files, against SimpleITK, over the ways images are stored."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from builders.stored_pairs import (
    FIXED_SHAPE,
    SMALL_GRID,
    STORAGES,
    gentle_transform,
    itk_image,
    itk_points,
    pair,
    voxel_points,
)
from tenter.errors import DataError, OutputError
from tenter.formats import fields, itk_transforms, transforms
from tenter.shapes import Matrix
from tenter.spatial import geometry
from tenter.spatial.transform import Transform

BETWEEN = np.random.default_rng(1).uniform(-3, np.array(SMALL_GRID[0]) + 2.0, (400, 3))
"""Places within and around the small grid, in its voxels."""


def composite(*parts: sitk.Transform) -> sitk.CompositeTransform:
    return sitk.CompositeTransform(list(parts))


def itk_field(field: torch.Tensor, grid: Matrix) -> sitk.DisplacementFieldTransform:
    """A field in voxels as ITK's, by its own means."""
    mm = np.einsum("rc,cxyz->xyzr", (geometry.LPS @ grid)[:3, :3], field[0].double().numpy())
    image = sitk.GetImageFromArray(np.ascontiguousarray(mm.transpose(2, 1, 0, 3)), isVector=True)
    image.CopyInformation(itk_image(np.zeros(field.shape[2:], np.float32), grid))
    return sitk.DisplacementFieldTransform(image)


def linear() -> tuple[sitk.Transform, sitk.Transform]:
    rigid = sitk.Euler3DTransform((10.0, -20.0, 5.0), 0.1, -0.2, 0.3, (1.0, 2.0, 3.0))
    return rigid, sitk.AffineTransform([1, 0.2, 0, 0, 0.9, 0, 0.1, 0, 1.1], (4.0, 5.0, -6.0))


@pytest.mark.parametrize("fixed", STORAGES)
def test_beyond_a_small_grid_the_alignment_alone_remains(fixed: str, tmp_path: Path) -> None:
    case = pair(fixed, "LAS", SMALL_GRID)
    transforms.write_transform(tmp_path / "transform.h5", case.transform)
    points = geometry.apply(case.transform.affine, BETWEEN)
    theirs = itk_points(sitk.ReadTransform(str(tmp_path / "transform.h5")), points)
    np.testing.assert_allclose(theirs, case.transform.map_points(points), rtol=0, atol=1e-9)


@pytest.mark.parametrize("fixed", STORAGES)
def test_transform_reads_back_as_it_was(fixed: str, tmp_path: Path) -> None:
    transform = pair(fixed, "RAS").transform
    transforms.write_transform(tmp_path / "transform.h5", transform)
    kept = transforms.read_transform(tmp_path / "transform.h5")
    assert torch.equal(kept.field, transform.field)
    np.testing.assert_allclose(kept.alignment, transform.alignment, rtol=0, atol=1e-13)
    np.testing.assert_allclose(kept.affine, transform.affine, rtol=0, atol=1e-12)


@pytest.mark.parametrize("suffix", [".h5", ".tfm", ".mat", ".txt"])
def test_rigid_transform_about_a_centre_is_read(suffix: str, tmp_path: Path) -> None:
    rigid = sitk.Euler3DTransform((10.0, -20.0, 5.0), 0.1, -0.2, 0.3, (1.0, 2.0, 3.0))
    sitk.WriteTransform(rigid, str(tmp_path / f"initial{suffix}"))
    matrix = itk_transforms.read_alignment(tmp_path / f"initial{suffix}")
    point = np.array([[7.0, 8.0, -9.0]])
    expected = np.array(rigid.TransformPoint((-7.0, -8.0, -9.0))) * [-1, -1, 1]
    np.testing.assert_allclose(geometry.apply(matrix, point)[0], expected, rtol=0, atol=1e-10)


def test_ants_matrix_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "0GenericAffine.txt"
    path.write_text(
        "#Insight Transform File V1.0\n#Transform 0\n"
        "Transform: MatrixOffsetTransformBase_double_3_3\n"
        "Parameters: 1 0.1 0 0 1 0 0 0 1 4 5 6\nFixedParameters: 0 0 0\n"
    )
    matrix = itk_transforms.read_alignment(path)
    expected = np.array([[1, 0.1, 0, -4], [0, 1, 0, -5], [0, 0, 1, 6], [0, 0, 0, 1]])
    np.testing.assert_allclose(matrix, expected, atol=1e-12)


def test_composite_of_affine_transforms_is_read(tmp_path: Path) -> None:
    parts = [sitk.TranslationTransform(3, (1.0, 2.0, 3.0)), sitk.ScaleTransform(3, (2.0, 2.0, 2.0))]
    sitk.WriteTransform(sitk.CompositeTransform(parts), str(tmp_path / "initial.h5"))
    matrix = itk_transforms.read_alignment(tmp_path / "initial.h5")
    np.testing.assert_allclose(geometry.apply(matrix, np.ones((1, 3))), [[1, 0, 5]], atol=1e-12)


def test_deformation_is_no_alignment(tmp_path: Path) -> None:
    transforms.write_transform(tmp_path / "deformation.h5", pair("RAS", "RAS").transform)
    with pytest.raises(DataError, match=r"deformation\.h5.*not affine.*rigid or affine"):
        itk_transforms.read_alignment(tmp_path / "deformation.h5")


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ("0 0 0 0 1 0 0 0 1 0 0 0", "singular"),
        ("1 0 0 0 1 0 0 0 1 1e9 0 0", "cannot be a transform in mm"),
    ],
)
def test_useless_matrix_is_refused(parameters: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "initial.tfm").write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        f"Parameters: {parameters}\nFixedParameters: 0 0 0\n"
    )
    with pytest.raises(DataError, match=complaint):
        itk_transforms.read_alignment(tmp_path / "initial.tfm")


def test_plane_transform_is_refused(tmp_path: Path) -> None:
    sitk.WriteTransform(sitk.Euler2DTransform(), str(tmp_path / "initial.tfm"))
    with pytest.raises(DataError, match="2-D transform"):
        itk_transforms.read_alignment(tmp_path / "initial.tfm")


@pytest.mark.parametrize("content", [None, b"", b"not a transform"])
def test_file_that_is_no_transform_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "initial.tfm"
    if content is not None:
        path.write_bytes(content)
    for read in (itk_transforms.read_alignment, transforms.read_transform):
        with pytest.raises(DataError, match=r"initial\.tfm"):
            read(path)


def test_cut_transform_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "transform.h5"
    transforms.write_transform(path, pair("RAS", "RAS").transform)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"transform\.h5"):
        transforms.read_transform(path)


@pytest.mark.parametrize("suffix", [".h5", ".tfm"])
@pytest.mark.parametrize(
    "order", ["field", "field last", "field first", "field between", "two before"]
)
def test_composite_in_any_order_is_read_as_itk_maps_it(
    order: str, suffix: str, tmp_path: Path
) -> None:
    case = pair("oblique", "RAS", SMALL_GRID)
    field = itk_field(case.transform.field, case.transform.affine)
    rigid, shear = linear()
    orders = {
        "field": (field,),
        "field last": (rigid, shear, field),
        "field first": (field, shear),
        "field between": (rigid, field, shear),
        "two before": (field, rigid, shear),
    }
    theirs = orders[order][0] if len(orders[order]) == 1 else composite(*orders[order])
    sitk.WriteTransform(theirs, str(tmp_path / f"theirs{suffix}"))
    read = transforms.read_transform(tmp_path / f"theirs{suffix}")
    points = geometry.apply(read.affine, BETWEEN)
    np.testing.assert_allclose(
        read.map_points(points), itk_points(theirs, points), rtol=0, atol=1e-6
    )


def test_nested_composite_is_read_as_itk_maps_it(tmp_path: Path) -> None:
    rigid, shear = linear()
    path = tmp_path / "nested.tfm"
    sitk.WriteTransform(composite(rigid, shear), str(path))
    text = path.read_text().replace("Euler3DTransform_double_3_3", "Euler3DTransform_float_3_3")
    path.write_text(text)
    points = voxel_points(np.eye(4), (50, 50, 50))
    expected = itk_points(composite(rigid, shear), points)
    np.testing.assert_allclose(
        transforms.read_transform(path).map_points(points), expected, atol=1e-5
    )


def test_linear_transform_has_a_field_of_zeros(tmp_path: Path) -> None:
    rigid, _ = linear()
    sitk.WriteTransform(rigid, str(tmp_path / "rigid.mat"))
    read = transforms.read_transform(tmp_path / "rigid.mat")
    assert read.field.shape == (1, 3, 2, 2, 2)
    assert not read.field.any()
    points = voxel_points(np.eye(4), (50, 50, 50))
    np.testing.assert_allclose(
        read.map_points(points), itk_points(rigid, points), rtol=0, atol=1e-10
    )


@pytest.mark.parametrize("name", ["field.nii.gz", "field_ras.nii.gz"])
def test_field_image_is_read_as_a_transform(name: str, tmp_path: Path) -> None:
    case = pair("left-handed", "RAS")
    moves = case.transform.displacement_mm(case.fixed, FIXED_SHAPE)
    write = {"field.nii.gz": fields.write_field, "field_ras.nii.gz": fields.write_field_ras}[name]
    write(tmp_path / name, moves, case.fixed)
    points = voxel_points(case.fixed, FIXED_SHAPE)
    read = transforms.read_transform(tmp_path / name)
    np.testing.assert_allclose(
        read.map_points(points), case.transform.map_points(points), rtol=0, atol=1e-4
    )


def test_two_fields_in_one_file_are_refused(tmp_path: Path) -> None:
    field = itk_field(torch.zeros(1, 3, 2, 2, 2), np.eye(4))
    sitk.WriteTransform(composite(field, field), str(tmp_path / "two.h5"))
    with pytest.raises(DataError, match=r"two\.h5.*2 displacement fields.*combine them into one"):
        transforms.read_transform(tmp_path / "two.h5")


def test_splines_are_refused(tmp_path: Path) -> None:
    spline = sitk.BSplineTransformInitializer(sitk.Image(8, 8, 8, sitk.sitkFloat32), (2, 2, 2))
    sitk.WriteTransform(spline, str(tmp_path / "spline.h5"))
    with pytest.raises(DataError, match=r"spline\.h5.*BSpline.*displacement field"):
        transforms.read_transform(tmp_path / "spline.h5")


def test_field_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    field = itk_field(torch.full((1, 3, 2, 2, 2), torch.nan), np.eye(4))
    sitk.WriteTransform(field, str(tmp_path / "nan.h5"))
    with pytest.raises(DataError, match=r"nan\.h5.*NaN"):
        transforms.read_transform(tmp_path / "nan.h5")


@pytest.mark.parametrize(
    ("storage", "sheared"), [*zip(STORAGES, [False, True] * 3, strict=True), ("oblique", True)]
)
def test_written_inverse_takes_points_home(
    storage: str,
    sheared: bool,  # noqa: FBT001
    tmp_path: Path,
) -> None:
    transform = gentle_transform(3, storage, sheared=sheared)
    inverse, residual_mm = transform.inverse()
    transforms.write_transform(tmp_path / "inverse.h5", inverse)
    voxels = np.random.default_rng(2).uniform(1, np.array(transform.field.shape[2:]) - 2, (2000, 3))
    points = geometry.apply(transform.affine, voxels)
    home = itk_points(
        sitk.ReadTransform(str(tmp_path / "inverse.h5")), transform.map_points(points)
    )
    gaps = np.linalg.norm(home - points, axis=1)
    assert gaps.max() < 0.05
    assert gaps.max() < residual_mm + 0.01


def test_inverse_with_shear_reads_back_as_it_was(tmp_path: Path) -> None:
    inverse, _ = pair("oblique", "RAS").transform.inverse(1)
    transforms.write_transform(tmp_path / "inverse.h5", inverse)
    kept = transforms.read_transform(tmp_path / "inverse.h5")
    np.testing.assert_allclose(kept.affine, inverse.affine, rtol=0, atol=1e-10)
    np.testing.assert_allclose(kept.alignment, inverse.alignment, rtol=0, atol=1e-12)
    torch.testing.assert_close(kept.field, inverse.field, rtol=0, atol=1e-6)


def test_grid_with_shear_maps_points_as_before(tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.2
    field = torch.rand(1, 3, 5, 5, 5, generator=torch.Generator().manual_seed(1))
    transform = Transform(np.eye(4), field, affine)
    transforms.write_transform(tmp_path / "x.h5", transform)
    points = np.array([[1.3, 2.0, 2.4], [2.5, 1.1, 3.0]])
    mapped = sitk.ReadTransform(tmp_path / "x.h5")
    turn = np.array([-1.0, -1.0, 1.0])
    expected = [turn * mapped.TransformPoint((turn * point).tolist()) for point in points]
    np.testing.assert_allclose(transform.map_points(points), expected, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("small_files")
def test_full_disk_leaves_no_transform(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"transform\.h5"):
        transforms.write_transform(tmp_path / "transform.h5", pair("RAS", "RAS").transform)
    assert not list(tmp_path.iterdir())


# ITK's HDF5 library crashes at the end of a process in which it could not write a file.
FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np, torch
from tenter.formats import itk_transforms, transforms
from tenter.errors import OutputError
from tenter.spatial.transform import Transform

FIELD = torch.zeros(1, 3, 20, 20, 20)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    transforms.write_transform(Path(sys.argv[1]), Transform(np.eye(4), FIELD, np.eye(4)))
except OutputError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [1000, 190_000])
def test_process_ends_normally_after_a_disk_was_full(limit: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "transform.h5"), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "transform.h5: cannot be written: the file would exceed" in done.stdout
