"""O20, O23 and O26: a map is what its points say, and what SimpleITK reads from its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from builders.registered_pairs import OFFSET, RegisteredStudy, write_pair
from tenter.formats import itk_transforms, volumes
from tenter.spatial import affine, geometry, warp

CORNERS = np.array([(-1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, -1, -1)], dtype=np.float64)


@pytest.mark.parametrize("seed", range(5))
def test_o23_the_affine_of_moved_corners_is_the_one_that_fits_them(seed: int) -> None:
    moves = torch.rand(1, 4, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    targets = CORNERS * (1 - moves[0].numpy())
    fitted, *_ = np.linalg.lstsq(np.column_stack([CORNERS, np.ones(4)]), targets, rcond=None)
    found = affine.corner_affine(moves)[0].numpy()
    np.testing.assert_allclose(found[:3], fitted.T, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        CORNERS @ found[:3, :3].T + found[:3, 3], targets, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("seed", range(5))
def test_o23_the_affine_of_a_file_is_the_one_that_fits_its_points(
    seed: int, tmp_path: Path
) -> None:
    random = np.random.default_rng(seed)
    written = sitk.AffineTransform(3)
    written.SetMatrix((np.eye(3) + random.uniform(-0.3, 0.3, (3, 3))).ravel().tolist())
    written.SetTranslation(random.uniform(-50, 50, 3).tolist())
    written.SetCenter(random.uniform(-50, 50, 3).tolist())
    sitk.WriteTransform(written, str(tmp_path / "affine.h5"))
    places = random.uniform(-100, 100, (20, 3))
    mapped = np.array([written.TransformPoint(place) for place in (places * [-1, -1, 1]).tolist()])
    fitted, *_ = np.linalg.lstsq(
        np.column_stack([places, np.ones(20)]), mapped * [-1, -1, 1], rcond=None
    )
    found = itk_transforms.read_alignment(tmp_path / "affine.h5")
    np.testing.assert_allclose(found[:3], fitted.T, rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> RegisteredStudy:
    """An oblique pair, registered by a field that is not symmetric."""
    made = RegisteredStudy(tmp_path_factory.mktemp("saved"))
    write_pair(made.root)
    made.prepare_images()
    made.register()
    return made


def read(study: RegisteredStudy, name: str) -> sitk.Image:
    return sitk.ReadImage(str(study.root / name), sitk.sitkFloat64)


def transform_of(study: RegisteredStudy, name: str) -> sitk.Transform:
    path = str(study.root / "fields/p" / name)
    if name.endswith(".h5"):
        whole: sitk.Transform = sitk.ReadTransform(path)
        return whole
    return sitk.DisplacementFieldTransform(sitk.ReadImage(path, sitk.sitkVectorFloat64))


@pytest.mark.parametrize("name", ["transform.h5", "field.nii.gz"])
def test_o26_simpleitk_warps_by_the_file_as_we_do(study: RegisteredStudy, name: str) -> None:
    moving, fixed = read(study, "moving-image.nii"), read(study, "fixed-image.nii")
    theirs = sitk.GetArrayFromImage(
        sitk.Resample(moving, fixed, transform_of(study, name), sitk.sitkLinear)
    )
    ours = sitk.GetArrayFromImage(read(study, "fields/p/warped_image.nii.gz"))
    inside = places_inside(study)
    assert inside.mean() > 0.5
    # A hundred-thousandth of the image's range.
    np.testing.assert_allclose(
        ours[inside], theirs[inside], rtol=0, atol=1e-5 * np.ptp(theirs[inside])
    )


def places_inside(study: RegisteredStudy) -> np.ndarray:
    """Voxels of the fixed image, `[z, y, x]`, that are read within the moving one."""
    fixed, moving = (
        volumes.header(study.root / f"{side}-image.nii") for side in ("fixed", "moving")
    )
    places = study.transform().coordinates(fixed.affine, fixed.shape, moving.affine)
    limit = torch.tensor(moving.shape).reshape(1, 3, 1, 1, 1) - 1.01
    return ((places > 0.01) & (places < limit)).all(dim=1)[0].permute(2, 1, 0).numpy()


def test_o26_the_warp_in_torch_is_the_file_that_was_written(study: RegisteredStudy) -> None:
    fixed, moving = (
        volumes.read_image(study.root / f"{side}-image.nii") for side in ("fixed", "moving")
    )
    places = study.transform().coordinates(fixed.affine, fixed.array.shape[1:], moving.affine)
    expected = warp.sample(torch.from_numpy(moving.array)[None], places)[0]
    found = volumes.read_image(study.root / "fields/p/warped_image.nii.gz").array
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("name", "tolerance"), [("transform.h5", 1e-9), ("field.nii.gz", 1e-4)])
def test_o26_simpleitk_maps_points_by_the_file_as_we_do(
    study: RegisteredStudy, name: str, tolerance: float
) -> None:
    header = volumes.header(study.root / "fixed-image.nii")
    voxels = np.random.default_rng(0).integers(0, header.shape, (50, 3)).astype(np.float64)
    points = geometry.apply(header.affine, voxels)
    theirs = transform_of(study, name)
    mapped = np.array([theirs.TransformPoint(point) for point in (points * [-1, -1, 1]).tolist()])
    ours = study.transform().map_points(points)
    np.testing.assert_allclose(mapped * [-1, -1, 1], ours, rtol=0, atol=tolerance)
    still = study.transform().without_field().map_points(points)
    assert np.linalg.norm(ours - still, axis=1).mean() > 1
    np.testing.assert_allclose(still - points, np.tile(OFFSET, (50, 1)), rtol=0, atol=1e-5)


def test_o20_simpleitk_takes_points_home_that_the_inverse_found(study: RegisteredStudy) -> None:
    points = np.random.default_rng(1).uniform(-8, 8, (60, 3)) + OFFSET + [10, -20, 30]
    found, residual_mm = study.transform().inverse_points(points)
    # The network's weights are random numbers: its map folds here and there.
    sound = residual_mm < 1e-6
    assert sound.mean() > 0.8
    theirs = transform_of(study, "transform.h5")
    home = np.array(
        [theirs.TransformPoint(point) for point in (found[sound] * [-1, -1, 1]).tolist()]
    )
    np.testing.assert_allclose(home * [-1, -1, 1], points[sound], rtol=0, atol=1e-6)
