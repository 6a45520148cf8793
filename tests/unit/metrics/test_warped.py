"""Labels warped in boxes are the labels warped on the whole grid."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation

from tenter.metrics.regions import Grid, Region, on_one_grid
from tenter.metrics.survey import survey
from tenter.metrics.warped import Warper, piece
from tenter.shapes import Mask, Matrix
from tenter.spatial.transform import Transform

FIXED = Grid(
    np.array([[0, 1.5, 0, -20], [-1.2, 0, 0, 18], [0, 0, 2.0, -15], [0, 0, 0, 1.0]]), (24, 26, 16)
)
CASE: Matrix = np.array([[2.0, 0, 0, -22], [0, 2, 0, -20], [0, 0, 2, -17], [0, 0, 0, 1]])


def moving_affine() -> Matrix:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [8, -5, 12], degrees=True).as_matrix() * [
        1.3,
        1.6,
        1.9,
    ]
    affine[:3, 3] = [-17, -19, -14]
    return affine


def bent(strength: float) -> Transform:
    random = torch.Generator().manual_seed(3)
    field = torch.randn(1, 3, 22, 20, 16, generator=random, dtype=torch.float64)
    smooth = torch.nn.functional.avg_pool3d(field, 7, stride=1, padding=3) * strength
    alignment = np.eye(4)
    alignment[:3, :3] = Rotation.from_euler("z", 6, degrees=True).as_matrix()
    alignment[:3, 3] = [1.5, -2.0, 0.5]
    return Transform(alignment, smooth, CASE)


def labels() -> list[np.ndarray]:
    x, y, z = np.indices((26, 24, 15))
    return [
        np.clip(1.5 - ((x - 12) ** 2 + (y - 11) ** 2 + 2 * (z - 7) ** 2) / 40, 0, 1).astype(
            np.float32
        ),
        ((x - 18) ** 2 + (y - 6) ** 2 + (z - 9) ** 2 < 6).astype(np.float32),
    ]


def expected(label: np.ndarray, transform: Transform) -> Mask:
    """The same by SciPy, on the whole grid."""
    places = transform.coordinates(FIXED.affine, FIXED.shape, moving_affine())[0].numpy()
    values = ndimage.map_coordinates(
        np.pad(label.astype(np.float64), 1), [axis + 1 for axis in places], order=1, cval=0.0
    )
    return np.asarray(values >= 0.5)


def on_whole_grid(found: Region) -> Mask:
    whole = Region(np.ones(FIXED.shape, dtype=np.bool_), (0, 0, 0))
    return on_one_grid(found, whole)[0]


def carried(transform: Transform, *, field: bool) -> list[Region]:
    warper = Warper(transform, FIXED, moving_affine(), 0.5)
    cut = [piece(label, 0.5) for label in labels()]
    pieces = [item for item in cut if item is not None]
    found = survey(transform, FIXED, moving_affine(), [item.own for item in pieces])
    return warper.by_transform(pieces, found.landings) if field else warper.by_alignment(pieces)


@pytest.mark.parametrize("index", [0, 1])
def test_a_label_warped_in_its_box_is_the_label_warped_whole(index: int) -> None:
    transform = bent(4.0)
    found = on_whole_grid(carried(transform, field=True)[index])
    np.testing.assert_array_equal(found, expected(labels()[index], transform))
    assert found.sum() > 5


@pytest.mark.parametrize("index", [0, 1])
def test_the_alignment_alone_carries_it_likewise(index: int) -> None:
    transform = bent(4.0)
    found = on_whole_grid(carried(transform, field=False)[index])
    np.testing.assert_array_equal(found, expected(labels()[index], transform.without_field()))


def test_the_field_makes_a_difference() -> None:
    transform = bent(4.0)
    moved, still = (on_whole_grid(carried(transform, field=field)[0]) for field in (True, False))
    assert (moved != still).any()


def test_an_alignment_beyond_the_grid_leaves_nothing() -> None:
    away = np.eye(4)
    away[0, 3] = 500
    transform = Transform(away, torch.zeros(1, 3, 4, 4, 4, dtype=torch.float64), CASE)
    found = [*carried(transform, field=True), *carried(transform, field=False)]
    assert all(item.empty for item in found)


def test_a_label_that_never_reaches_the_threshold_has_no_piece() -> None:
    assert piece(np.full((4, 4, 4), 0.4, dtype=np.float32), 0.5) is None


def test_a_label_at_the_edge_of_its_image_ends_there() -> None:
    label = np.ones((6, 6, 6), dtype=np.float32)
    grid = Grid(np.diag([1.0, 1, 1, 1]), (10, 10, 10))
    shift = np.eye(4)
    shift[:3, 3] = -2
    still = Transform(shift, torch.zeros(1, 3, 4, 4, 4, dtype=torch.float64), np.eye(4))
    cut = piece(label, 0.5)
    assert cut is not None
    found = Warper(still, grid, np.eye(4), 0.5).by_alignment([cut])[0]
    expected_box = np.zeros((10, 10, 10), dtype=np.bool_)
    expected_box[2:8, 2:8, 2:8] = True
    first, second, _ = on_one_grid(found, Region(expected_box, (0, 0, 0)))
    np.testing.assert_array_equal(first, second)


def test_simpleitk_resamples_to_the_same_label() -> None:
    transform = bent(0.0)
    label = labels()[1]
    lps = np.diag([-1.0, -1, 1, 1])
    image = _itk(label, lps @ moving_affine())
    reference = _itk(np.zeros(FIXED.shape, dtype=np.float32), lps @ FIXED.affine)
    affine = sitk.AffineTransform(3)
    matrix = lps @ transform.alignment @ lps
    affine.SetMatrix(matrix[:3, :3].ravel().tolist())
    affine.SetTranslation(matrix[:3, 3].tolist())
    values = sitk.GetArrayFromImage(sitk.Resample(image, reference, affine, sitk.sitkLinear, 0.0))
    found = on_whole_grid(carried(transform, field=True)[1])
    np.testing.assert_array_equal(found, values.transpose(2, 1, 0) >= 0.5)


def _itk(array: np.ndarray, lps: Matrix) -> sitk.Image:
    image = sitk.GetImageFromArray(array.transpose(2, 1, 0))
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image
