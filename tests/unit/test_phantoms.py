"""Anatomy, appearance and deformation of the simulated cohort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from strategies import seeds
from tenter.phantoms import anatomy, appearance, deformation, scene
from tenter.phantoms.anatomy import Anatomy, Landmark
from tenter.phantoms.appearance import Echo, Scan
from tenter.phantoms.deformation import Deformation
from tenter.phantoms.scene import Grid, Scene
from tenter.spatial import geometry

FEW = settings(max_examples=15, deadline=None)


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def drawn(seed: int) -> tuple[Deformation, np.ndarray]:
    """A deformation about (20, -10, 5) mm, and fixed points about there."""
    centre = np.array([20.0, -10.0, 5.0])
    return deformation.draw(rng(seed), centre, np.zeros(3)), centre + rng(seed, 1).uniform(
        -45, 45, (200, 3)
    )


def patient(seed: int = 0) -> Anatomy:
    return anatomy.draw(rng(seed))


def pair(who: int, which: int) -> Scene:
    return scene.draw(rng(0, who), rng(1, which), 6.0)


def test_bump_moves_its_centre_by_its_amplitude_and_fades_as_a_gaussian() -> None:
    bump = Deformation(np.eye(4), np.zeros((1, 3)), np.array([[4.0, 0, 0]]), np.array([10.0]))
    moved = bump.map_points(np.array([[0.0, 0, 0], [0, 10, 0]]))
    np.testing.assert_allclose(moved, [[4, 0, 0], [4 * np.exp(-0.5), 10, 0]], rtol=0, atol=1e-12)


@given(seeds)
@FEW
def test_inverse_undoes_the_deformation(seed: int) -> None:
    deformed, points = drawn(seed)
    back = deformed.inverse_points(deformed.map_points(points))
    np.testing.assert_allclose(back, points, rtol=0, atol=1e-6)


@given(seeds)
@FEW
def test_deformation_folds_nowhere(seed: int) -> None:
    deformed, points = drawn(seed)
    steps = [(points + 1e-4 * axis, points - 1e-4 * axis) for axis in np.eye(3)]
    slopes = [(deformed.map_points(up) - deformed.map_points(down)) / 2e-4 for up, down in steps]
    assert np.linalg.det(np.stack(slopes, axis=-1)).min() > 0.02


@given(seeds)
@FEW
def test_deformation_moves_the_gland_by_more_than_a_translation(seed: int) -> None:
    deformed, points = drawn(seed)
    near = points[np.linalg.norm(points - [20, -10, 5], axis=1) < 25]
    shifts = deformed.map_points(near) - near
    assert np.linalg.norm(shifts - shifts.mean(axis=0), axis=1).max() > 1.0


@given(seeds)
@FEW
def test_sampled_transform_is_the_closed_form_within_a_tenth_of_a_millimetre(seed: int) -> None:
    deformed, points = drawn(seed)
    transform = deformed.sampled(points.min(axis=0), points.max(axis=0), 2.0)
    errors = np.linalg.norm(transform.map_points(points) - deformed.map_points(points), axis=1)
    assert errors.max() < 0.1


def test_distance_to_a_ball_is_exact() -> None:
    ball = Landmark("cyst", np.array([1.0, 2, 3]), np.full(3, 5.0))
    points = np.array([[1.0, 2, 3], [1, 2, 11], [4, 2, 3]])
    np.testing.assert_allclose(patient().body(ball, points), [-5, 3, -2], rtol=0, atol=1e-12)


@given(seeds)
@FEW
def test_sites_lie_on_the_gland(seed: int) -> None:
    body = patient(seed)
    places = np.stack(list(body.sites().values()))
    np.testing.assert_allclose(body.prostate(places), 0, atol=0.01)


@given(seeds)
@FEW
def test_landmarks_lie_inside_the_gland_and_apart(seed: int) -> None:
    body = patient(seed)
    assert body.landmarks
    for position, mark in enumerate(body.landmarks):
        assert body.prostate(mark.centre[None])[0] < -mark.radii.max()
        for other in body.landmarks[position + 1 :]:
            apart = np.linalg.norm(mark.centre - other.centre)
            assert apart > mark.radii.max() + other.radii.max()


def test_bladder_and_gland_do_not_overlap() -> None:
    grid = Grid(np.diag([2.0, 2, 2, 1]), (50, 50, 50))
    organs = patient().distances(grid.points() - 49)
    assert (organs["bladder"] < 0).any()
    assert not ((organs["bladder"] < 0) & (organs["gland"] < 0)).any()


def test_unevenness_has_mean_zero_and_deviation_one() -> None:
    values = patient().unevenness(rng(3).uniform(-200, 200, (20_000, 3)))
    assert abs(values.mean()) < 0.1
    assert values.std() == pytest.approx(1, abs=0.1)


def test_occupancy_is_half_on_a_surface() -> None:
    shares = appearance.occupancy(np.array([-9.0, -0.5, 0.0, 0.5, 9.0]), 2.0)
    np.testing.assert_allclose(shares, [1, 0.75, 0.5, 0.25, 0])


def test_occupancy_of_a_ball_sums_to_its_volume() -> None:
    grid = Grid(np.diag([2.0, 2, 2, 1]), (12, 12, 12))
    ball = Landmark("cyst", np.full(3, 11.0), np.full(3, 8.0))
    shares = appearance.occupancy(patient().body(ball, grid.points()), 2.0)
    assert shares.sum() * 8 == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.02)


def test_mr_shows_urine_bright_gland_less_and_muscle_dark() -> None:
    body = patient()
    urine, zone, muscle = [0.0, 6, body.gland[2] + 12], [0.9 * body.gland[0], 0, 0], [45.0, 8, 0]
    points = np.repeat(np.array([urine, zone, muscle]), 200, axis=0)
    means = appearance.magnetic_resonance(rng(1), body, points, 1.0).reshape(3, 200).mean(axis=1)
    assert means[0] > means[1] + 50 > means[2] + 300


def test_mr_noise_is_rician() -> None:
    """Where the signal vanishes the mean is sigma · sqrt(pi/2), not 0."""
    gas = np.array([[0.0, -patient().gland[1] - patient().rectum - 3.5, 0]])
    dark = appearance.magnetic_resonance(rng(1), patient(), np.repeat(gas, 4000, axis=0), 1.0)
    assert dark.min() > 0
    assert dark.mean() == pytest.approx(np.hypot(50, 28), rel=0.15)


def ultrasound(points: np.ndarray, scan: Scan) -> np.ndarray:
    body = patient()
    return appearance.ultrasound(rng(2), body, (points, points), scan, 1.0)


def test_ultrasound_shows_nothing_outside_its_sector() -> None:
    scan = Scan(np.array([0.0, -30, 0]), 10.0, ())
    beside, behind, beyond, within = [60.0, -29, 0], [0.0, -45, 0], [0.0, 45, 0], [0.0, -15, 0]
    seen = ultrasound(np.array([beside, behind, beyond, within]), scan)
    np.testing.assert_array_equal(seen > 0, [False, False, False, True])


def test_ultrasound_shows_urine_black_and_fat_grey() -> None:
    height = patient().gland[2]
    urine, fat = np.array([0.0, 6, height + 12]), np.array([20.0, -10, -height - 8])
    scan = Scan(np.array([0.0, -30, 0]), 10.0, ())
    spread = rng(5).normal(0, 2, (300, 3))
    assert ultrasound(urine + spread, scan).mean() < 15
    assert ultrasound(fat + spread, scan).mean() > 80


def test_calcification_casts_a_shadow_behind_it_only() -> None:
    stone = Echo(np.array([0.0, 20, 0]), 4.0, -20.0)
    probe = np.zeros(3)
    places = np.array([[0.0, 10, 0], [0, 40, 0], [30, 30, 0], [0, 40, 30]])
    change = Scan(probe, 9.0, (stone,)).gain_db(places) - Scan(probe, 9.0, ()).gain_db(places)
    np.testing.assert_allclose(change, [0, -20, 0, 0], atol=0.01)


def test_attenuation_grows_with_depth() -> None:
    depths = np.array([[0.0, 25, 0], [0, 40, 0], [0, 55, 0]])
    assert (np.diff(Scan(np.zeros(3), 9.0, ()).gain_db(depths)) < 0).all()


def test_grid_points_follow_the_affine_last_axis_fastest() -> None:
    affine = np.array([[0.0, 0, 2, 10], [-3, 0, 0, 20], [0, 1, 0, 30], [0, 0, 0, 1]])
    points = Grid(affine, (2, 2, 3)).points()
    np.testing.assert_array_equal(points[1], [12, 20, 30])
    np.testing.assert_array_equal(points[-1], [14, 17, 31])


def test_pairs_of_a_patient_share_the_anatomy_but_not_the_deformation() -> None:
    first, second = pair(3, 10), pair(3, 11)
    np.testing.assert_array_equal(first.anatomy.gland, second.anatomy.gland)
    np.testing.assert_array_equal(first.origin, second.origin)
    assert not np.array_equal(first.deformation.amplitudes, second.deformation.amplitudes)


def test_sizes_spacings_and_storage_differ_between_pairs() -> None:
    scenes = [pair(index, index) for index in range(12)]
    for side in scene.SIDES:
        grids = [drawn.grids[side] for drawn in scenes]
        assert len({grid.shape for grid in grids}) > 3
        assert len({tuple(np.sign(np.round(grid.affine[:3, :3], 1)).ravel()) for grid in grids}) > 2
        spacings = [np.linalg.norm(grid.affine[:3, :3], axis=0) for grid in grids]
        assert any(np.ptp(spacing) > 0.5 for spacing in spacings)


def test_labels_are_partial_and_at_times_one_sided() -> None:
    scenes = [pair(index, index) for index in range(30)]
    assert all(drawn.labelled[side][:2] == scene.ALWAYS for drawn in scenes for side in scene.SIDES)
    assert len({len(drawn.labelled["moving"]) for drawn in scenes}) > 2
    one_sided = [drawn.labelled["moving"] != drawn.labelled["fixed"] for drawn in scenes]
    assert 0 < sum(one_sided) < 15


def test_every_channel_of_a_label_stack_shows_something() -> None:
    for drawn in (scene.draw(rng(0, index), rng(1, index), 3.0) for index in range(6)):
        for side in scene.SIDES:
            stack = drawn.labels(side)
            assert len(stack) == len(drawn.labelled[side])
            assert (stack.max(axis=(1, 2, 3)) >= 0.5).all()


def test_sites_lie_inside_both_images() -> None:
    for drawn in (pair(index, index) for index in range(40)):
        for side in scene.SIDES if drawn.sites else ():
            grid, places = drawn.grids[side], np.stack(list(drawn.points(side).values()))
            voxels = geometry.apply(np.linalg.inv(grid.affine), places)
            assert (voxels >= 0).all()
            assert (voxels <= np.array(grid.shape) - 1).all()


def test_named_points_correspond() -> None:
    drawn = next(s for s in (pair(k, k) for k in range(10)) if s.sites)
    fixed, moving = drawn.points("fixed"), drawn.points("moving")
    assert list(fixed) == list(moving) == list(drawn.sites)
    mapped = drawn.deformation.map_points(np.stack(list(fixed.values())))
    np.testing.assert_allclose(mapped, np.stack(list(moving.values())), rtol=0, atol=1e-6)


def test_label_map_lets_later_labels_lie_on_top() -> None:
    stack = np.array([[[[1.0, 0.6, 0.2]]], [[[0.0, 0.5, 0.4]]]])
    np.testing.assert_array_equal(scene.label_map(stack), [[[1, 2, 0]]])
