from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.transform import Rotation

from builders.tiny_cohorts import stored, world
from tenter.cases.alignment import align, centre_of_mass_mm
from tenter.errors import DataError
from tenter.formats.volumes import Volume
from tenter.spatial import geometry

SHAPE = (9, 8, 7)
NOISE = np.random.default_rng(0).random(SHAPE).astype(np.float32) ** 4


def volume(
    array: np.ndarray = NOISE, degrees: float = 20.0, shift: tuple[float, ...] = (0, 0, 0)
) -> Volume:
    """A turned image with voxels of 1 x 1.5 x 2 mm, shifted in the world."""
    affine = world(SHAPE, (1.0, 1.5, 2.0), degrees)
    affine[:3, 3] += shift
    channels = array if array.ndim == 4 else array[None]
    return Volume(np.ascontiguousarray(channels, np.float32), affine)


def test_by_the_header_nothing_is_moved() -> None:
    assert np.array_equal(align("header", volume(), volume(shift=(5, 6, 7))), np.eye(4))


@pytest.mark.parametrize("rule", ["centre", "mass"])
def test_a_shifted_copy_is_shifted_back(rule: str) -> None:
    placed = align(rule, volume(shift=(5, -6, 7)), volume())  # type: ignore[arg-type] # a rule
    assert np.allclose(placed, [[1, 0, 0, 5], [0, 1, 0, -6], [0, 0, 1, 7], [0, 0, 0, 1]], atol=1e-9)


def test_centres_of_volumes_are_their_middles() -> None:
    smaller = Volume(np.zeros((1, 3, 3, 3), np.float32), np.diag([2.0, 2, 2, 1]))
    placed = align("centre", smaller, Volume(np.zeros((1, 5, 5, 5), np.float32), np.eye(4)))
    assert np.allclose(placed[:3, 3], (0, 0, 0))
    placed = align("centre", smaller, Volume(np.zeros((1, 5, 5, 9), np.float32), np.eye(4)))
    assert np.allclose(placed[:3, 3], (0, 0, -2))


def test_the_centre_of_mass_is_scipys() -> None:
    image = volume(NOISE * 1000 - 1024)
    voxel = ndimage.center_of_mass(image.array[0].astype(np.float64) - image.array[0].min())
    assert np.allclose(
        centre_of_mass_mm(image, "fixed"), (image.affine @ [*voxel, 1])[:3], atol=1e-9
    )


def test_the_rule_is_itks_where_air_is_zero() -> None:
    places = []
    for item in (
        volume(NOISE - NOISE.min(), shift=(3, 2, 1)),
        volume(NOISE[::-1] - NOISE.min(), degrees=5),
    ):
        image = sitk.GetImageFromArray(item.array[0].T)
        lps = np.diag([-1, -1, 1]) @ item.affine[:3]
        steps = np.linalg.norm(lps[:, :3], axis=0)
        image.SetSpacing(steps.tolist())
        image.SetDirection((lps[:, :3] / steps).ravel().tolist())
        image.SetOrigin(lps[:, 3].tolist())
        places.append(image)
    moving, fixed = places
    found = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.MOMENTS
    )
    placed = align("mass", volume(NOISE, shift=(3, 2, 1)), volume(NOISE[::-1], degrees=5))
    assert np.allclose(placed[:3, 3] * [-1, -1, 1], found.GetParameters()[3:6], atol=1e-4)


def test_a_number_added_to_all_intensities_changes_nothing() -> None:
    plain, lifted = (centre_of_mass_mm(volume(NOISE + added), "fixed") for added in (0, -1000))
    assert np.allclose(plain, lifted, atol=1e-3)


def test_channels_are_added_up() -> None:
    stack = np.zeros((2, *SHAPE), np.float32)
    stack[0, 2, 3, 4], stack[1, 6, 3, 4] = 3, 1
    stack[1] -= 50
    image = volume(stack)
    assert np.allclose(
        centre_of_mass_mm(image, "fixed"), (image.affine @ [3, 3, 4, 1])[:3], atol=1e-9
    )


@pytest.mark.parametrize("storage", ["LAS", "LPS", "PIR"])
def test_storage_does_not_show_in_the_centre_of_mass(storage: str) -> None:
    plain = volume()
    array, affine = stored(plain.array[0], plain.affine, storage)
    other = Volume(np.ascontiguousarray(array)[None], affine)
    assert np.allclose(
        centre_of_mass_mm(plain, "fixed"), centre_of_mass_mm(other, "fixed"), atol=1e-9
    )


@pytest.mark.parametrize(("moving", "fixed", "named"), [(0, 1, "moving"), (1, 0, "fixed")])
def test_a_constant_image_has_no_centre_of_mass(moving: int, fixed: int, named: str) -> None:
    images = [volume(np.full(SHAPE, 7.0)), volume()]
    with pytest.raises(DataError, match=f"the {named} image: is constant"):
        align("mass", images[moving], images[fixed])


def test_a_composite_of_linear_transforms_is_one(tmp_path: Path) -> None:
    turn = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, -0.2, 0.3, (4.0, 5.0, 6.0))
    shift = sitk.TranslationTransform(3, (7.0, 8.0, 9.0))
    composite = sitk.CompositeTransform([turn, shift])
    sitk.WriteTransform(composite, str(tmp_path / "initial.h5"))
    placed = align("file", volume(), volume(), tmp_path / "initial.h5")
    point = np.array([11.0, -12.0, 13.0])
    expected = np.array(composite.TransformPoint((point * [-1, -1, 1]).tolist())) * [-1, -1, 1]
    assert np.allclose((placed @ [*point, 1])[:3], expected, atol=1e-9)


def test_a_file_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no initial_transform"):
        align("file", volume(), volume())
    with pytest.raises(DataError, match=r"none\.tfm: is missing"):
        align("file", volume(), volume(), tmp_path / "none.tfm")


def slice_at(height: float, degrees: float = 0.0, thickness: float = 4.0, axis: int = 2) -> Volume:
    """A slice of 9 x 8 voxels that is turned about the world's x
    and lies at a height along its normal.
    """
    order = [0, 1, 2]
    order.insert(axis, order.pop())
    affine = world((9, 8, 1), (1.0, 1.5, thickness), 20.0)
    tilt = np.eye(4)
    tilt[:3, :3] = Rotation.from_euler("x", degrees, degrees=True).as_matrix()
    affine[:3, 3] += affine[:3, 2] * height / thickness
    array = NOISE[:, :, :1].transpose(order)
    return Volume(np.ascontiguousarray(array[None]), (tilt @ affine)[:, [*order, 3]])


@pytest.mark.parametrize("axis", range(3))
def test_slices_that_touch_come_to_lie_in_one_plane(axis: int) -> None:
    moving, fixed = slice_at(3.0, axis=axis), slice_at(0.0)
    placed = align("header", moving, fixed)
    corners = np.array([[0.0, 0, 0], [8, 0, 0], [0, 7, 0], [8, 7, 0]])
    seen = geometry.apply(np.linalg.inv(moving.affine) @ placed @ fixed.affine, corners)
    assert np.allclose(seen[:, axis], 0, atol=1e-12)
    assert np.allclose(placed[:3, :3], np.eye(3))
    assert np.linalg.norm(placed[:3, 3]) == pytest.approx(3.0)


def test_slices_of_other_places_meet_by_their_centres_alone() -> None:
    moving, fixed = slice_at(30.0), slice_at(0.0)
    with pytest.raises(DataError, match=r"lies 30 mm from the plane.*`centre`"):
        align("header", moving, fixed)
    assert np.linalg.norm(align("centre", moving, fixed)[:3, 3]) == pytest.approx(30.0)


@pytest.mark.parametrize("rule", ["header", "centre", "mass"])
def test_slices_at_an_angle_are_refused(rule: str) -> None:
    with pytest.raises(DataError, match="out of the plane"):
        align(rule, slice_at(0.0, degrees=8), slice_at(0.0))  # type: ignore[arg-type] # a rule


def test_a_slice_and_a_volume_are_refused() -> None:
    with pytest.raises(DataError, match="the fixed image is one slice and the moving one a volume"):
        align("centre", volume(), slice_at(0.0))
    with pytest.raises(DataError, match="the moving image is one slice and the fixed one a volume"):
        align("centre", slice_at(0.0), volume())
