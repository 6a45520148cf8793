"""What is drawn for a side: within its bounds, and independent of what else is drawn."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch

from tenter.config import Augmentation, Pose
from tenter.sampling.augmentation import geometry
from tenter.sampling.augmentation.random_streams import Source
from tenter.sampling.augmentation.recipe import Change, Ground, draw_changes, poses

GROUND = Ground(batch=3, channels=(2, 1), shape=(10, 12, 8), spacing_mm=(2.0, 3.0, 1.0))
LOOKS: dict[str, Any] = {
    "blur_mm": 2,
    "bias": {"amplitude": 0.5, "spacing_mm": 9},
    "gamma": 0.5,
    "gain": 0.25,
    "offset": 0.3,
    "noise": 0.2,
}
KINDS: dict[str, dict[str, Any]] = {
    "corners": {"affine": 0.1},
    "pose": {"pose": {"rotation_deg": 20, "scale": 0.2, "shear": 0.1, "translation_mm": 4}},
    "controls": {"deformation": {"amplitude_mm": 3, "spacing_mm": 8}},
    **{
        name.removesuffix("_mm"): {"intensity": {"moving": {name: value}, "fixed": {name: value}}}
        for name, value in LOOKS.items()
    },
}
EVERYTHING: dict[str, Any] = {
    **KINDS["corners"],
    **KINDS["pose"],
    **KINDS["controls"],
    "mirror": True,
    "intensity": {"moving": LOOKS, "fixed": LOOKS},
}


def drawn(chosen: dict[str, Any], step: int = 0, seed: int = 0) -> tuple[Change, Change]:
    augmentation = Augmentation.model_validate({"affine": 0.0} | chosen)
    return draw_changes(Source.of(seed, "0"), augmentation, GROUND, step)


def numbers(change: Change, kind: str) -> np.ndarray:
    value = getattr(change, kind)
    assert value is not None
    found: np.ndarray = getattr(value, "values", value)
    return found


def test_nothing_is_drawn_where_nothing_is_chosen() -> None:
    for change in drawn({}):
        assert {getattr(change, kind) for kind in KINDS} == {None}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_draws_the_same_whatever_else_is_on(kind: str) -> None:
    for alone, among in zip(drawn(KINDS[kind]), drawn(EVERYTHING), strict=True):
        assert np.array_equal(numbers(alone, kind), numbers(among, kind))
        assert [name for name in KINDS if getattr(alone, name) is not None] == [kind]


@pytest.mark.parametrize("kind", KINDS)
def test_sides_samples_steps_and_seeds_draw_something_else(kind: str) -> None:
    sides = [*drawn(EVERYTHING), drawn(EVERYTHING, step=1)[0], drawn(EVERYTHING, seed=1)[0]]
    samples = [numbers(side, kind)[index, 0].ravel()[-1] for side in sides for index in range(3)]
    assert len(set(samples)) == 12


def test_noise_has_a_seed_of_its_own_for_each_sample_of_each_side_and_step() -> None:
    sides = [side for step in range(3) for side in drawn(KINDS["noise"], step)]
    assert len({seed for side in sides for seed in side.noise_seeds}) == 18


def test_each_channel_of_each_side_is_drawn() -> None:
    moving, fixed = drawn(EVERYTHING)
    assert [numbers(side, "gain").shape for side in (moving, fixed)] == [(3, 2), (3, 1)]
    assert [numbers(side, "bias").shape[:2] for side in (moving, fixed)] == [(3, 2), (3, 1)]


@functools.cache
def many() -> list[Change]:
    return [side for step in range(80) for side in drawn(EVERYTHING, step)]


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("gamma", 1 / 1.5, 1.5),
        ("gain", 1 / 1.25, 1.25),
        ("offset", -0.3, 0.3),
        ("noise", 0.0, 0.2),
        ("blur", 0.0, 2.0),
        ("bias", -np.log(1.5), np.log(1.5)),
        ("controls", -3.0, 3.0),
    ],
)
def test_ranges_are_filled_and_kept(kind: str, low: float, high: float) -> None:
    found = np.concatenate([numbers(side, kind).ravel() for side in many()])
    least, most = float(found.min()), float(found.max())
    assert low <= least < low + 0.02 * (high - low)
    assert high - 0.02 * (high - low) < most <= high


def test_an_amplitude_is_mm_along_each_axis() -> None:
    values = np.abs(numbers(drawn(KINDS["controls"])[0], "controls")).max(axis=(0, 2, 3, 4))
    assert values * GROUND.spacing_mm == pytest.approx([3, 3, 3], rel=0.05)


def mm(matrices: np.ndarray) -> np.ndarray:
    """Maps in normalised coordinates as maps in mm about the grid's centre."""
    half = (np.array(GROUND.shape) - 1) / 2 * GROUND.spacing_mm
    scale = np.diag([*half, 1.0])
    turned: np.ndarray = scale @ matrices @ np.linalg.inv(scale)
    return turned


def drawn_poses(**bounds: float) -> np.ndarray:
    chances = np.random.default_rng(0).uniform(size=(500, 12))
    return mm(poses(chances, Pose(**bounds), GROUND.shape, GROUND.spacing_mm))


def test_rotations_are_rotations_up_to_the_angle_about_any_axis() -> None:
    linear = drawn_poses(rotation_deg=20)[:, :3, :3]
    assert np.allclose(linear @ linear.transpose(0, 2, 1), np.eye(3))
    angles = np.rad2deg(np.arccos((np.trace(linear, axis1=1, axis2=2) - 1) / 2))
    assert 19.8 < angles.max() <= 20
    axes = np.stack([linear[:, 2, 1] - linear[:, 1, 2], linear[:, 0, 2] - linear[:, 2, 0]])
    assert np.abs(axes.mean(axis=1)).max() < 0.03


def test_scales_act_along_each_axis_within_their_factors() -> None:
    linear = drawn_poses(scale=0.25)[:, :3, :3]
    diagonal = np.diagonal(linear, axis1=1, axis2=2)
    assert np.allclose(linear, diagonal[:, :, None] * np.eye(3))
    assert 0.8 <= diagonal.min() < 0.81
    assert 1.24 < diagonal.max() <= 1.25


def test_shears_keep_volume() -> None:
    linear = drawn_poses(shear=0.3)[:, :3, :3]
    assert np.allclose(np.linalg.det(linear), 1)
    assert 0.29 < np.abs(linear - np.eye(3)).max() < 0.3


def test_shifts_are_mm() -> None:
    shifts = drawn_poses(translation_mm=5)[:, :3, 3]
    assert np.abs(shifts).max(axis=0) == pytest.approx([5, 5, 5], rel=0.02)


@pytest.mark.parametrize("axis", range(3))
def test_a_slice_is_changed_in_its_plane_alone(axis: int) -> None:
    shape, spacing = [10, 12], [2.0, 3.0]
    shape.insert(axis, 1)
    spacing.insert(axis, 5.0)
    ground = Ground(batch=3, channels=(2, 1), shape=tuple(shape), spacing_mm=tuple(spacing))
    change, _ = draw_changes(Source.of(0, "0"), Augmentation.model_validate(EVERYTHING), ground, 0)
    unit = np.eye(4)[axis]
    assert change.pose is not None
    assert (change.pose[:, axis] == unit).all()
    assert (change.pose[:, :, axis] == unit).all()
    field = geometry.displacement(change, shape, torch.device("cpu"))
    assert field is not None
    assert not field[:, axis].any()
    others = [other for other in range(3) if other != axis]
    assert (field[:, others].abs().amax(dim=(2, 3, 4)) > 0.1).all()
    for lattice in (change.controls, change.bias):
        assert lattice is not None
        layers = np.moveaxis(lattice.values, 2 + axis, 0)
        assert (layers == layers[:1]).all()
    assert not change.controls.values[:, axis].any()  # type: ignore[union-attr] # seen above


def test_a_slice_is_turned_either_way_by_no_more_than_the_bound() -> None:
    chances = np.random.default_rng(0).uniform(size=(200, 12))
    found = poses(chances, Pose(rotation_deg=20), (9, 1, 9), (1.0, 4.0, 1.0))
    angles = np.rad2deg(np.arctan2(found[:, 0, 2], found[:, 0, 0]))
    assert -20 < angles.min() < -15
    assert 15 < angles.max() < 20


def test_the_corners_of_a_square_are_moved_as_drawn() -> None:
    ground = Ground(batch=1, channels=(1, 1), shape=(11, 9, 1), spacing_mm=(1.0, 1.0, 3.0))
    change, _ = draw_changes(Source.of(0, "0"), Augmentation(affine=0.2), ground, 0)
    field = geometry.displacement(change, ground.shape, torch.device("cpu"))
    assert change.corners is not None
    assert field is not None
    for corner, voxel in enumerate(((0, 0), (0, 8), (10, 0))):
        inward = np.where(np.array(voxel) == 0, 1, -1) * change.corners[0, corner] * (5, 4)
        assert np.allclose(field[0, :2, *voxel, 0], inward, atol=1e-5)
