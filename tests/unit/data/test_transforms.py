"""Transform files, against SimpleITK, over the ways images are stored."""

from __future__ import annotations

import gzip
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.spatial.transform import Rotation

from tenter.data import transforms
from tenter.errors import DataError, OutputError
from tenter.shapes import Matrix
from tenter.spatial import geometry, smooth, warp
from tenter.spatial.transform import Transform

SHAPES = {"fixed": (11, 12, 9), "moving": (13, 10, 12)}
GRID = ((12, 14, 11), (2.2, 2.0, 2.4))
SMALL_GRID = ((6, 7, 5), (2.2, 2.1, 2.5))


def placed(axes: np.ndarray[tuple[int, ...], np.dtype[np.float64]], shape: tuple[int, ...]) -> Matrix:
    """An affine with these columns, its block centred near one place of the world."""
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = [30, -55, 12] - axes @ (np.array(shape) - 1) / 2
    return affine


def stored(name: str, shape: tuple[int, ...]) -> Matrix:
    oblique = Rotation.from_euler("zyx", [25, -15, 10], degrees=True).as_matrix()
    axes = {
        "RAS": np.diag([2.0, 2.0, 2.0]),
        "LAS": np.diag([-2.0, 2.0, 2.0]),
        "LPS": np.diag([-2.0, -2.0, 2.0]),
        "anisotropic": np.diag([1.5, 2.1, 3.0]),
        "oblique": oblique * [2.0, 1.8, 2.4],
        "left-handed": oblique[:, [1, 0, 2]] * [1.9, 2.2, 2.1],
    }
    return placed(axes[name], shape)


NAMES = ("RAS", "LAS", "LPS", "anisotropic", "oblique", "left-handed")


@dataclass(frozen=True)
class Setting:
    """A pair's geometry, a map that is not symmetric, and a moving image."""

    fixed: Matrix
    moving: Matrix
    transform: Transform
    image: torch.Tensor


def setting(fixed: str, moving: str, grid: tuple[tuple[int, ...], tuple[float, ...]] = GRID) -> Setting:
    generator = torch.Generator().manual_seed(7)
    affine = stored(fixed, SHAPES["fixed"])
    field = smooth.smooth(torch.randn(1, 3, *grid[0], generator=generator), (1.5, 1.5, 1.5))
    field = field / field.abs().max() + torch.tensor([0.4, -0.2, 0.1]).reshape(1, 3, 1, 1, 1)
    alignment = geometry.translation((1.5, -2.0, 0.7))
    alignment[:3, :3] = Rotation.from_euler("xyz", [4, -3, 5], degrees=True).as_matrix() * [1.02, 0.97, 1]
    alignment[:3, 3] += [30, -55, 12] - alignment[:3, :3] @ [30, -55, 12]
    case_grid = geometry.canonical_grid(affine, SHAPES["fixed"], *grid)
    image = torch.rand(1, 1, *SHAPES["moving"], generator=generator)
    return Setting(affine, stored(moving, SHAPES["moving"]), Transform(alignment, field, case_grid), image)


def itk_image(array: np.ndarray[tuple[int, ...], np.dtype[np.float32]], affine: Matrix) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    lps, spacing = geometry.LPS @ affine, geometry.spacing_mm(affine)
    image.SetSpacing(spacing)
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image


def resampled(case: Setting, transform: sitk.Transform) -> torch.Tensor:
    """The moving image on the fixed grid, by SimpleITK."""
    moving = itk_image(case.image[0, 0].numpy(), case.moving)
    fixed = itk_image(np.zeros(SHAPES["fixed"], np.float32), case.fixed)
    result = sitk.Resample(moving, fixed, transform, sitk.sitkLinear)
    return torch.from_numpy(sitk.GetArrayFromImage(result).transpose(2, 1, 0).copy())


def compared(case: Setting, theirs: torch.Tensor) -> tuple[float, float]:
    """Largest difference to the program's own warp, and share of voxels compared."""
    places = case.transform.coordinates(case.fixed, SHAPES["fixed"], case.moving)
    ours = warp.sample(case.image, places)[0, 0]
    sizes = torch.tensor(SHAPES["moving"]).reshape(1, 3, 1, 1, 1)
    inside = ((places > 0.01) & (places < sizes - 1.01)).all(dim=1)[0]
    return float((ours - theirs)[inside].abs().max()), float(inside.float().mean())


@pytest.mark.parametrize("moving", NAMES)
@pytest.mark.parametrize("fixed", NAMES)
def test_simpleitk_warps_alike_by_both_files(fixed: str, moving: str, tmp_path: Path) -> None:
    case = setting(fixed, moving)
    transforms.write_transform(tmp_path / "transform.h5", case.transform)
    moves = case.transform.displacement_mm(case.fixed, SHAPES["fixed"])
    transforms.write_field(tmp_path / "field.nii.gz", moves, case.fixed)
    composite = sitk.ReadTransform(str(tmp_path / "transform.h5"))
    field = sitk.ReadImage(str(tmp_path / "field.nii.gz"), sitk.sitkVectorFloat64)
    for theirs in (composite, sitk.DisplacementFieldTransform(field)):
        difference, share = compared(case, resampled(case, theirs))
        assert difference < 1e-4
        assert share > 0.3


@pytest.mark.parametrize("fixed", NAMES)
def test_points_map_alike_by_both_files(fixed: str, tmp_path: Path) -> None:
    case = setting(fixed, "RAS")
    transforms.write_transform(tmp_path / "transform.h5", case.transform)
    moves = case.transform.displacement_mm(case.fixed, SHAPES["fixed"])
    transforms.write_field(tmp_path / "field.nii.gz", moves, case.fixed)
    composite = sitk.ReadTransform(str(tmp_path / "transform.h5"))
    image = sitk.ReadImage(str(tmp_path / "field.nii.gz"), sitk.sitkVectorFloat64)
    field = sitk.DisplacementFieldTransform(image)
    voxels = np.random.default_rng(0).integers(0, SHAPES["fixed"], (50, 3)).astype(np.float64)
    points = geometry.apply(case.fixed, voxels)
    ours = case.transform.map_points(points)
    for transform, tolerance in ((composite, 1e-9), (field, 1e-3)):
        theirs = np.array([transform.TransformPoint(point) for point in (points * [-1, -1, 1]).tolist()])
        np.testing.assert_allclose(theirs * [-1, -1, 1], ours, rtol=0, atol=tolerance)


@pytest.mark.parametrize("fixed", ["RAS", "oblique", "left-handed"])
def test_beyond_a_small_grid_the_alignment_alone_remains(fixed: str, tmp_path: Path) -> None:
    case = setting(fixed, "LAS", SMALL_GRID)
    transforms.write_transform(tmp_path / "transform.h5", case.transform)
    composite = sitk.ReadTransform(str(tmp_path / "transform.h5"))
    low, high = np.full(3, -3.0), np.array(SMALL_GRID[0]) + 2.0
    voxels = np.random.default_rng(1).uniform(low, high, (400, 3))
    points = geometry.apply(case.transform.affine, voxels)
    theirs = np.array([composite.TransformPoint(point) for point in (points * [-1, -1, 1]).tolist()])
    np.testing.assert_allclose(theirs * [-1, -1, 1], case.transform.map_points(points), rtol=0, atol=1e-9)
    assert compared(case, resampled(case, composite))[0] < 1e-4


@pytest.mark.parametrize("fixed", NAMES)
def test_transform_reads_back_as_it_was(fixed: str, tmp_path: Path) -> None:
    transform = setting(fixed, "RAS").transform
    transforms.write_transform(tmp_path / "transform.h5", transform)
    kept = transforms.read_transform(tmp_path / "transform.h5")
    assert torch.equal(kept.field, transform.field)
    np.testing.assert_allclose(kept.alignment, transform.alignment, rtol=0, atol=1e-13)
    np.testing.assert_allclose(kept.affine, transform.affine, rtol=0, atol=1e-12)


def test_field_file_is_a_vector_in_lps_with_equal_forms(tmp_path: Path) -> None:
    moves = torch.arange(2 * 3 * 4 * 3, dtype=torch.float32).reshape(3, 2, 3, 4)
    affine = stored("oblique", (2, 3, 4))
    transforms.write_field(tmp_path / "field.nii.gz", moves, affine)
    image = nib.nifti1.Nifti1Image.from_filename(tmp_path / "field.nii.gz")
    assert image.shape == (2, 3, 4, 1, 3)
    assert (int(image.header["intent_code"]), image.get_data_dtype()) == (1007, np.float32)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 1)
    np.testing.assert_allclose(image.affine, affine, atol=1e-5)
    np.testing.assert_allclose(image.get_qform(), affine, atol=1e-4)
    values = np.asarray(image.dataobj)[1, 2, 3, 0]
    np.testing.assert_array_equal(values, moves[:, 1, 2, 3].numpy() * [-1, -1, 1])


def test_equal_fields_are_equal_files_and_the_callers_field_stays(tmp_path: Path) -> None:
    moves = torch.randn(4, 3, 2, 3).permute(3, 2, 1, 0)
    before = moves.clone()
    for name in ("a.nii.gz", "b.nii.gz"):
        transforms.write_field(tmp_path / name, moves, np.eye(4))
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert len(gzip.decompress((tmp_path / "a.nii.gz").read_bytes())) == 352 + 4 * 2 * 3 * 4 * 3
    assert torch.equal(moves, before)


@pytest.mark.parametrize("suffix", [".h5", ".tfm", ".mat", ".txt"])
def test_rigid_transform_about_a_centre_is_read(suffix: str, tmp_path: Path) -> None:
    rigid = sitk.Euler3DTransform((10.0, -20.0, 5.0), 0.1, -0.2, 0.3, (1.0, 2.0, 3.0))
    sitk.WriteTransform(rigid, str(tmp_path / f"initial{suffix}"))
    matrix = transforms.read_alignment(tmp_path / f"initial{suffix}")
    point = np.array([[7.0, 8.0, -9.0]])
    expected = np.array(rigid.TransformPoint((-7.0, -8.0, -9.0))) * [-1, -1, 1]
    np.testing.assert_allclose(geometry.apply(matrix, point)[0], expected, rtol=0, atol=1e-10)


def test_ants_matrix_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "0GenericAffine.txt"
    path.write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: MatrixOffsetTransformBase_double_3_3\n"
        "Parameters: 1 0.1 0 0 1 0 0 0 1 4 5 6\nFixedParameters: 0 0 0\n"
    )
    matrix = transforms.read_alignment(path)
    expected = np.array([[1, 0.1, 0, -4], [0, 1, 0, -5], [0, 0, 1, 6], [0, 0, 0, 1]])
    np.testing.assert_allclose(matrix, expected, atol=1e-12)


def test_composite_of_affine_transforms_is_read(tmp_path: Path) -> None:
    parts = [sitk.TranslationTransform(3, (1.0, 2.0, 3.0)), sitk.ScaleTransform(3, (2.0, 2.0, 2.0))]
    sitk.WriteTransform(sitk.CompositeTransform(parts), str(tmp_path / "initial.h5"))
    matrix = transforms.read_alignment(tmp_path / "initial.h5")
    np.testing.assert_allclose(geometry.apply(matrix, np.ones((1, 3))), [[1, 0, 5]], atol=1e-12)


def test_deformation_is_no_alignment(tmp_path: Path) -> None:
    transforms.write_transform(tmp_path / "deformation.h5", setting("RAS", "RAS").transform)
    with pytest.raises(DataError, match=r"deformation\.h5.*not affine.*rigid or affine"):
        transforms.read_alignment(tmp_path / "deformation.h5")


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [("0 0 0 0 1 0 0 0 1 0 0 0", "singular"), ("1 0 0 0 1 0 0 0 1 1e9 0 0", "no transform in mm")],
)
def test_useless_matrix_is_refused(parameters: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "initial.tfm").write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        f"Parameters: {parameters}\nFixedParameters: 0 0 0\n"
    )
    with pytest.raises(DataError, match=complaint):
        transforms.read_alignment(tmp_path / "initial.tfm")


def test_plane_transform_is_refused(tmp_path: Path) -> None:
    sitk.WriteTransform(sitk.Euler2DTransform(), str(tmp_path / "initial.tfm"))
    with pytest.raises(DataError, match="2-D transform"):
        transforms.read_alignment(tmp_path / "initial.tfm")


@pytest.mark.parametrize("content", [None, b"", b"not a transform"])
def test_file_that_is_no_transform_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "initial.tfm"
    if content is not None:
        path.write_bytes(content)
    for read in (transforms.read_alignment, transforms.read_transform):
        with pytest.raises(DataError, match=r"initial\.tfm"):
            read(path)


def test_cut_transform_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "transform.h5"
    transforms.write_transform(path, setting("RAS", "RAS").transform)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"transform\.h5"):
        transforms.read_transform(path)


def test_another_programs_composite_is_no_registration(tmp_path: Path) -> None:
    sitk.WriteTransform(sitk.CompositeTransform([sitk.Euler3DTransform()]), str(tmp_path / "other.h5"))
    with pytest.raises(DataError, match="no registration"):
        transforms.read_transform(tmp_path / "other.h5")


def test_grid_with_shear_is_refused(tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.2
    with pytest.raises(ValueError, match="shear"):
        transforms.write_transform(
            tmp_path / "x.h5", Transform(np.eye(4), torch.zeros(1, 3, 3, 3, 3), affine)
        )


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file can grow beyond 2 kB, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
def test_full_disk_leaves_no_transform(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"transform\.h5"):
        transforms.write_transform(tmp_path / "transform.h5", setting("RAS", "RAS").transform)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("small_files")
def test_full_disk_leaves_no_field(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"field\.nii\.gz"):
        transforms.write_field(tmp_path / "field.nii.gz", torch.rand(3, 20, 20, 20), np.eye(4))
    assert not list(tmp_path.iterdir())
