"""Labels may store the voxels of their image in any of 48 orders, in every format."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from builders import faulty_files
from tenter.config import LabelFiles
from tenter.errors import DataError
from tenter.formats import headers, volumes
from tenter.formats.headers import Header
from tenter.stages.check import check

MAP, STACK = LabelFiles(format="map"), LabelFiles(format="stack")
ORDERS = list(
    itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3))
)
FORMATS = ("a.nii", "a.nii.gz", "a.mha", "a.mhd", "a.nrrd", "a.nhdr", "a.img")
VALUES = np.random.default_rng(0).integers(0, 4, (5, 6, 7)).astype(np.uint8)
LPS = np.diag([-1.0, -1.0, 1.0])


def oblique() -> np.ndarray:
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", [12, -25, 38], degrees=True).as_matrix()
    affine[:3, :3] = turn @ np.diag([0.7, 1.1, 2.5])
    affine[:3, 3] = (-31.7, 12.9, 84.3)
    return affine


AFFINE = oblique()


def stored(order: tuple[tuple[int, ...], tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """The same voxels at the same places, their axes in another order and direction."""
    axes, steps = order
    turned = VALUES.transpose(axes)[tuple(slice(None, None, step) for step in steps)]
    affine = np.eye(4)
    affine[:3, :3] = AFFINE[:3, list(axes)] * steps
    corner = np.zeros(3)
    for axis, step in zip(axes, steps, strict=True):
        corner[axis] = 0 if step > 0 else VALUES.shape[axis] - 1
    affine[:3, 3] = AFFINE[:3, :3] @ corner + AFFINE[:3, 3]
    return turned, affine


def write(path: Path, values: np.ndarray, affine: np.ndarray) -> Path:
    """Written by nibabel or SimpleITK."""
    if path.suffix in {".nii", ".gz", ".img"}:
        pair = path.suffix == ".img"
        nib.save(nib.Nifti1Pair(values, affine) if pair else nib.Nifti1Image(values, affine), path)
        return path
    image = sitk.GetImageFromArray(values.transpose(2, 1, 0))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin((LPS @ affine[:3, 3]).tolist())
    image.SetDirection((LPS @ affine[:3, :3] / spacing).ravel().tolist())
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("order", ORDERS)
def test_labels_in_every_order_are_read_onto_their_image(
    tmp_path: Path, order: tuple[tuple[int, ...], ...]
) -> None:
    for name in FORMATS:
        path = write(tmp_path / name, *stored((order[0], order[1])))
        read = volumes.read_labels_on(path, MAP, (5, 6, 7), AFFINE)
        assert np.array_equal(read.values, VALUES)
        assert np.allclose(read.affine, AFFINE, atol=1e-4)


@pytest.mark.parametrize("order", ORDERS[::7])
def test_a_stack_is_reordered_channel_by_channel(
    tmp_path: Path, order: tuple[tuple[int, ...], ...]
) -> None:
    values, affine = stored((order[0], order[1]))
    stack = np.stack([values == 1, values == 2], axis=3).astype(np.uint8)
    nib.save(nib.Nifti1Image(stack, affine), tmp_path / "a.nii")
    read = volumes.read_labels_on(tmp_path / "a.nii", STACK, (5, 6, 7), AFFINE)
    assert np.array_equal(read.array, np.stack([VALUES == 1, VALUES == 2]))


def moved(offset: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = offset
    return np.asarray(matrix @ AFFINE)


@pytest.mark.parametrize(
    ("shape", "affine", "complaint"),
    [
        ((5, 6, 8), AFFINE, "have shape (5, 6, 8), their image (5, 6, 7)"),
        ((6, 5, 7), AFFINE, "have shape (6, 5, 7), their image (5, 6, 7)"),
        ((5, 6, 7), moved((3, 0, 0)), "lie up to 3 mm from their image"),
        (
            (5, 6, 7),
            moved((0.002, 0, 0)),
            "origin [-31.698, 12.9, 84.3] against [-31.7, 12.9, 84.3] mm",
        ),
        ((5, 6, 7), moved((0, 0.00104, 0)), "0.00104 mm apart"),
        ((5, 6, 7), AFFINE @ np.diag([1.002, 1, 1, 1]), "0.0014 mm apart"),
        ((5, 6, 7), AFFINE @ np.diag([-1.0, 1, 1, 1]), "lie up to 2.8 mm from their image"),
    ],
)
def test_labels_elsewhere_are_refused_with_a_difference_that_shows(
    shape: tuple[int, int, int], affine: np.ndarray, complaint: str
) -> None:
    labels = Header(shape, 1, affine, np.dtype("u1"))
    with pytest.raises(DataError) as caught:
        headers.require_same_grid(Path("labels.nii"), labels, (5, 6, 7), AFFINE)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("degrees", [0.2, 1.5, 30.0])
def test_turned_labels_are_refused_with_the_angle(degrees: float) -> None:
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    labels = Header((5, 6, 7), 1, np.diag([50.0, 50, 50, 1]) @ turn, np.dtype("u1"))
    with pytest.raises(DataError, match=f"axes {degrees:.3g} degrees apart"):
        headers.require_same_grid(Path("labels.nii"), labels, (5, 6, 7), np.diag([50.0, 50, 50, 1]))


def test_the_texts_of_two_places_that_differ_are_never_equal() -> None:
    for power in range(1, 10):
        small = np.full(3, 10.0**-power)
        first, second = headers._distinguishable(np.zeros(3), small)  # noqa: SLF001
        assert first != second


def test_check_accepts_labels_in_another_order(tmp_path: Path) -> None:
    settings = faulty_files.cohort(tmp_path)
    path = tmp_path / "p1_us_labels.nii.gz"
    order = np.array([[2, -1], [0, 1], [1, -1]])
    turned = nib.load(path).as_reoriented(order)  # type: ignore[attr-defined]
    assert turned.shape != faulty_files.SHAPE
    turned.header.set_xyzt_units("mm")
    nib.save(turned, path)
    assert "label on both sides: label-1 in 3" in str(check(settings))
